"""`python -m trajopt_sgp`: the command `trajopt-sgp`."""

from trajopt_sgp.cli.main import main

if __name__ == "__main__":
    main()
