"""What an iteration takes at each size, and the page that tells."""

from pathlib import Path

import numpy as np
import pytest

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.studies.pixel_scaling import STUDY
from trajopt_sgp.studies.pixel_scaling.figures import draw_figures
from trajopt_sgp.studies.pixel_scaling.page import slope, write_page
from trajopt_sgp.studies.pixel_scaling.plans import plan_sized
from trajopt_sgp.studies.pixel_scaling.timing import measure_iteration
from trajopt_sgp.studies.pixels.pairs import opposite_pairs, pairs_within, way_around
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


def test_short_plans_have_near_goals() -> None:
    """As far as the steps allow; with 13 steps and more the pairs are those across the hole."""
    world = PixelWorld()
    ways = [way_around(world, *pair) for pair in pairs_within(world, 20, np.random.default_rng(0), 8)]
    assert 16 / 3 < min(ways) < max(ways) <= 8.0
    across = opposite_pairs(world, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(across, pairs_within(world, 3, np.random.default_rng(1), 58))


def test_a_short_plan_of_the_networks_that_ship_arrives(tmp_path: Path) -> None:
    """And is counted on the page and in the figure."""
    settings = {"resolution": 32, "horizon": 5, "planner": "guided", "pair": 0, "seed": 1, "numbers": {}}
    result = plan_sized(settings, CellContext(tmp_path))
    assert result["variables"] == 5120
    assert result["goal_distance"] < 0.1
    assert result["true_cost"] == pytest.approx(result["predicted_cost"], rel=0.1)
    record = CellRecord("pixel-scaling", 1, "plan", "plan", "plan_sized", settings, {}, "finished", result)
    assert "| 32² | 5 | 5,120 | guided | 1 | 1 (" in write_page([record])
    assert list(draw_figures([record])) == ["success"]


def test_all_parts_have_a_cell() -> None:
    labels = [cell.label for cell in STUDY.cells(False)]
    assert len(set(labels)) == len(labels)
    assert sum(label.startswith("plan 64 N=15 guided") for label in labels) == 8
    assert sum(label.startswith("plan 32 N=60 MPPI, discs") for label in labels) == 8
    for side in (16, 32, 64):
        assert f"time standard {side} N=15" in labels
