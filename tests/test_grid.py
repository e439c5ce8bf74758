"""A smoke test of the grid: a few cells, stored, taken up again and written as a page."""

from pathlib import Path

import pytest

from benchmarks import bench_grid
from benchmarks.grid_cells import Cell, Result, all_cells, load, store

SMOKE = [
    Cell("block move", "HermiteSimpson", "Ipopt"),
    Cell("LQR", "DirectTranscription", "Ipopt"),
    Cell("LQR", "MultipleShooting", "Ipopt"),
]


def test_cells_run_once_and_are_then_taken_from_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(bench_grid.run(SMOKE, tmp_path))
    assert [result.cell for result in first] == SMOKE
    assert all(result.meets for result in first), first
    monkeypatch.setattr(bench_grid, "run_cell", None)
    assert list(bench_grid.run(SMOKE, tmp_path)) == first
    page = bench_grid.page(first)
    assert "3 of 3 cells that ran meet their limits" in page
    assert page.count("| yes |") == 3
    assert "## LQR" in page
    assert "## Goddard rocket" not in page


def test_a_pair_that_does_not_work_is_refused_in_words(tmp_path: Path) -> None:
    cell = Cell("learned cart-pole", "Trapezoidal", "Ipopt")
    assert cell not in set(all_cells())
    (result,) = bench_grid.run([cell], tmp_path)
    assert result.status == "refused"
    assert "ContinuousDynamics" in result.remark
    assert result.meets is None
    assert load(cell, tmp_path) == result


def test_a_miss_is_shown_as_one(tmp_path: Path) -> None:
    result = Result(SMOKE[0], "solved", "", objective=12.1, error=8e-3, violation=0.0)
    store(result, tmp_path)
    stored = load(SMOKE[0], tmp_path)
    assert stored == result
    assert stored.meets is False
    assert "**8.0e-03**" in bench_grid.page([stored])


def test_every_cell_has_a_file_of_its_own() -> None:
    cells = list(all_cells())
    assert len({cell.slug for cell in cells}) == len(cells)
    assert not any(cell.solver in ("CEM", "MPPI") and cell.formulation != "SingleShooting" for cell in cells)


def test_first_order_solvers_run_on_scores_of_two_problems(tmp_path: Path) -> None:
    chosen = [
        cell
        for cell in all_cells()
        if cell.formulation == "ScoreTranscription" and cell.solver in ("LBFGS", "GradientDescent")
    ]
    assert len(chosen) == 4
    results = list(bench_grid.run(chosen, tmp_path))
    assert all(result.meets for result in results), results
