"""Run the pendulum study and write its page: `python -m trajopt_sgp.studies.pendulum [--reduced]`."""

import argparse
from pathlib import Path

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.studies.pendulum.study import REDUCED, PendulumSettings, write_pendulum


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(prog="python -m trajopt_sgp.studies.pendulum", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="seconds instead of minutes; shows that all parts run")
    parser.add_argument("--folder", type=Path, default=Path("docs/studies/toys"), help="where page and figures go")
    parser.add_argument("--models", type=Path, default=None, help="where trainings are kept for the next run")
    options = parser.parse_args()
    with limited_threads(1):
        settings = REDUCED if options.reduced else PendulumSettings()
        write_pendulum(options.folder, settings, options.models)


if __name__ == "__main__":
    main()
