"""Run the toys and write their page: `python -m trajopt_sgp.studies.toys [--reduced] [--folder docs/studies/toys]`."""

import argparse
from pathlib import Path

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.studies.toys.study import REDUCED, ToySettings, write_toys


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m trajopt_sgp.studies.toys", description="Plan in the planar toys.")
    parser.add_argument("--reduced", action="store_true", help="seconds instead of minutes; shows that all parts run")
    parser.add_argument("--folder", type=Path, default=Path("docs/studies/toys"), help="where page and figures go")
    parser.add_argument("--models", type=Path, default=None, help="where trainings are kept for the next run")
    options = parser.parse_args()
    with limited_threads(1):
        write_toys(options.folder, REDUCED if options.reduced else ToySettings(), options.models)


if __name__ == "__main__":
    main()
