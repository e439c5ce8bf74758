"""Where the page of a study goes: by itself, only what is whole takes the place of what is published."""

from collections.abc import Sequence
from pathlib import Path

from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.stored import count_finished
from trajopt_sgp.studies.study import RESULTS, Study

PUBLISHED = Path("docs/studies")
"""Holds a folder for each study."""


def published_folder(study: Study, output: Path | None) -> Path:
    """Return the folder of published results: the one that was asked for, or the study's own."""
    return output or PUBLISHED / study.name


def place_of_page(study: Study, records: Sequence[CellRecord], total: int, folder: Path, output: Path | None) -> Path:
    """Return the folder that page, results and figures are written to.

    Args:
        study: whose they are.
        records: of the cells there are.
        total: number of all cells of the study; 0 for a reduced version, which is never whole.
        folder: of the run; `page/` in it receives what is not whole, or less than what is published.
        output: what was asked for, if anything.

    Raises:
        OptionError: the results in `output` have more finished cells; names both numbers.
    """
    place = published_folder(study, output)
    finished, there = sum(record.finished for record in records), count_finished(place / RESULTS)
    if output is None:
        return place if 0 < total <= finished and there <= finished else folder / "page"
    if there > finished:
        raise OptionError(
            f"{place / RESULTS} has {there} finished cells, and these are {finished}: choose another output, or remove "
            "it. The cells are kept."
        )
    return place
