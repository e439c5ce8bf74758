"""What an iteration takes at each size, and the page that tells."""

from pathlib import Path

import pytest

from trajopt_sgp.studies.pixel_scaling import STUDY
from trajopt_sgp.studies.pixel_scaling.page import draw_figures, slope, write_page
from trajopt_sgp.studies.pixel_scaling.timing import measure_iteration
from trajopt_sgp.studies.runner import CellContext, CellRecord


def test_iterations_are_timed(tmp_path: Path) -> None:
    settings = {"channels": [4, 8], "resolution": 16, "horizon": 2, "repetitions": 1}
    result = measure_iteration(settings, CellContext(tmp_path))
    assert result["variables"] == 512
    assert result["parameters"] > 0
    assert result["peak_megabytes"] >= 0.0


def test_slopes_are_those_of_powers() -> None:
    """Seconds that grow as the power 1.1 of the pixels, and a plan that succeeds."""
    cells = [cell for cell in STUDY.cells(False) if cell.label.startswith("time standard")]
    records = []
    for cell in cells:
        seconds = 1e-4 * cell.settings["resolution"] ** 2.2 * cell.settings["horizon"]
        result = {"variables": 1, "seconds": seconds, "peak_megabytes": 10.0, "parameters": 5}
        records.append(
            CellRecord(
                "pixel-scaling", 1, cell.label, cell.label, "measure_iteration", cell.settings, {}, "finished", result
            )
        )
    assert slope(records, "standard") == pytest.approx(1.1)
    assert slope(records, "narrow") is None
    assert "slope of 1.10" in write_page(records)
    assert list(draw_figures(records)) == ["time-and-memory"]


def test_all_parts_have_a_cell() -> None:
    labels = [cell.label for cell in STUDY.cells(False)]
    assert len(set(labels)) == len(labels)
    assert sum(label.startswith("plan 64") for label in labels) == 8
    for side in (16, 32, 64):
        assert f"time standard {side} N=15" in labels
