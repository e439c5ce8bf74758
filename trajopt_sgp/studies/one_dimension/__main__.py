"""Run the toys in one dimension and write their page: `python -m trajopt_sgp.studies.one_dimension [--reduced]`."""

import argparse
from pathlib import Path

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.studies.one_dimension.study import REDUCED, OneDimensionSettings, write_one_dimension


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(prog="python -m trajopt_sgp.studies.one_dimension", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="seconds instead of minutes; shows that all parts run")
    parser.add_argument("--folder", type=Path, default=Path("docs/studies/toys"), help="where page and figures go")
    options = parser.parse_args()
    with limited_threads(1):
        write_one_dimension(options.folder, REDUCED if options.reduced else OneDimensionSettings())


if __name__ == "__main__":
    main()
