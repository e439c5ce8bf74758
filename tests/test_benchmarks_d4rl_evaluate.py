"""The comparison on D4RL's tasks, reduced to one dataset, tiny models and two short episodes."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.d4rl import collect, evaluate
from benchmarks.d4rl.table import gather, page
from trajopt_sgp.studies.runner import CellRecord


def record(method: str, task: str, scores: list[float], seed: int = 0) -> CellRecord:
    settings = {"task": task, "method": method, "seed": seed}
    return CellRecord("d4rl", 1, "k", f"{method} {task} {seed}", "plan", settings, {}, "finished", {"scores": scores})


def test_the_reduced_version_goes_from_data_to_table_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    data = ["--tasks", "hopper-random", "--transitions", "200", "--folder", str(tmp_path / "policies")]
    assert collect.main(data) == 0
    places = ["--folder", str(tmp_path / "run"), "--output", str(tmp_path / "page")]
    some = ["--reduced", "--workers", "0", *places]
    assert evaluate.main([*some, "--methods", "behaviour", "guided"]) == 0
    text = (tmp_path / "page/index.md").read_text()
    assert "3 of 12 cells finished" in text
    assert "Partial" in text
    before = {path.name: path.read_bytes() for path in (tmp_path / "run/cells").iterdir()}
    assert evaluate.main(some) == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "run/cells").iterdir()}
    assert before.items() <= after.items()
    text = (tmp_path / "page/index.md").read_text()
    assert "12 of 12 cells finished" in text
    assert "Partial" not in text
    assert all(f" {method} |" in text for method in evaluate.METHODS)
    results = json.loads((tmp_path / "page/results.json").read_text())["cells"]
    played = [cell["result"] for cell in results if "lengths" in cell["result"]]
    assert len(played) == len(evaluate.METHODS) - 1
    assert all(max(result["lengths"]) <= 15 for result in played)


def test_cells_cover_the_protocol() -> None:
    cells = evaluate.all_cells(reduced=False)
    labels = {cell.label for cell in cells}
    assert len({cell.key("d4rl", 1) for cell in cells}) == len(cells)
    for robot in ("halfcheetah", "hopper", "walker2d"):
        assert f"{robot}-medium-replay guided seed 2" in labels
        assert f"{robot}-random iql seed 0" in labels
        assert f"{robot}-random iql seed 1" not in labels


def test_tables_pool_seeds_and_compare_shared_tasks_alone() -> None:
    records = [
        record("guided", "hopper-medium", [70.0, 80.0], seed=1),
        record("guided", "hopper-medium", [90.0, 100.0], seed=0),
        record("iql", "hopper-medium", [40.0, 60.0]),
        record("iql", "hopper-random", [1.0, 3.0]),
    ]
    assert gather(records)["guided"]["hopper-medium"].tolist() == [90.0, 100.0, 70.0, 80.0]
    text = page(records)
    half = 3.182446305 * np.std([70.0, 80.0, 90.0, 100.0], ddof=1) / 2.0
    assert f"| hopper-medium | 85.0 ± {half:.1f} |" in text
    assert "Over the 1 tasks that all these methods have played, 2 episodes each" in text
    assert "1.00 (1.00 to 1.00)" in text
