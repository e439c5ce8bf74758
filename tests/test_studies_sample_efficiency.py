"""The study of transitions and seconds: its cells, the smallest dataset, and all of it on a tiny budget."""

from dataclasses import replace
from pathlib import Path

from tests.test_studies_cart_pole import made_record
from trajopt_sgp.studies.runner import CellRecord, CellStore, Serial, run_cells
from trajopt_sgp.studies.sample_efficiency import STUDY, write_page


def sized(size: int, successes: int) -> CellRecord:
    record = made_record(0, None, successes, 0.0)
    result = {**record.result, "plans": 100, "true_costs": [0.01] * 100}
    return replace(record, settings={**record.settings, "size": size}, result=result)


def test_smallest_dataset_is_the_first_that_reaches_the_aim_and_the_first_whose_interval_does() -> None:
    page = write_page([sized(200, 40), sized(500, 82), sized(1000, 95)])
    assert "| sgp-shooting | 500 | 1,000 |" in page
    assert "| sgp-shooting | none | none |" in write_page([sized(200, 40)])


def test_full_study_repeats_no_cell_and_has_all_sizes() -> None:
    cells = STUDY.cells(False)
    assert len({cell.key(STUDY.name, 1) for cell in cells}) == len({cell.label for cell in cells}) == len(cells)
    assert {200, 10_000} <= {cell.settings["size"] for cell in cells}


def test_the_whole_study_on_a_tiny_budget(tmp_path: Path) -> None:
    records = run_cells(STUDY.name, STUDY.version, STUDY.cells(True), CellStore(tmp_path), Serial())
    page = STUDY.page(records)
    assert "## Smallest dataset" in page and "## Success against seconds" in page
    assert set(STUDY.figures(records)) == {"transitions", "seconds"}
