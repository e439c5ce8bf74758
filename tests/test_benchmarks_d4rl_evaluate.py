"""The comparison on D4RL's tasks, reduced to one dataset, tiny models and two short episodes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.d4rl import collect, evaluate
from benchmarks.d4rl.model_error import errors, recorded_segments
from benchmarks.d4rl.protocol import METHODS, all_cells
from benchmarks.d4rl.table import gather, page
from trajopt_sgp.data import Transitions, describe_dataset
from trajopt_sgp.studies.runner import CellRecord

ROOT = Path(__file__).parents[1]


def record(method: str, task: str, scores: list[float], seed: int = 0) -> CellRecord:
    settings = {"task": task, "method": method, "seed": seed}
    return CellRecord("d4rl", 1, "k", f"{method} {task} {seed}", "plan", settings, {}, "finished", {"scores": scores})


def scores_by_label(folder: Path) -> dict[str, list[float]]:
    records = [json.loads(path.read_text()) for path in (folder / "cells").iterdir()]
    return {record["label"]: record["result"]["scores"] for record in records if "scores" in record["result"]}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    chosen = ["--tasks", "hopper-random", "--transitions", "200", "--folder", str(tmp_path / "policies")]
    assert collect.main(chosen) == 0


@pytest.mark.usefixtures("data")
def test_ray_and_the_pool_agree(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for name, backend in (("ray", ["--ray-address", "local"]), ("pool", ["--workers", "1"])):
        places = ["--folder", str(tmp_path / name), "--output", str(tmp_path / "page")]
        command = [sys.executable, "-m", "benchmarks.d4rl.evaluate", "--reduced", *places, "--methods", "guided"]
        # in a process of its own: Ray leaves files open, which are warnings, which are errors here
        subprocess.run([*command, *backend], cwd=ROOT, check=True, capture_output=True, timeout=300)
    found = scores_by_label(tmp_path / "ray")
    assert len(found) == 1
    assert found == scores_by_label(tmp_path / "pool")


@pytest.mark.usefixtures("data")
def test_the_reduced_version_goes_from_data_to_table_and_repeats_nothing(tmp_path: Path) -> None:
    places = ["--folder", str(tmp_path / "run"), "--output", str(tmp_path / "page")]
    some = ["--reduced", "--workers", "0", *places]
    assert evaluate.main([*some, "--methods", "behaviour", "guided"]) == 0
    text = (tmp_path / "page/index.md").read_text()
    assert "3 of 19 cells finished" in text
    assert "Partial" in text
    before = {path.name: path.read_bytes() for path in (tmp_path / "run/cells").iterdir()}
    assert evaluate.main(some) == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "run/cells").iterdir()}
    assert before.items() <= after.items()
    text = (tmp_path / "page/index.md").read_text()
    assert "19 of 19 cells finished" in text
    assert "Partial" not in text
    assert all(f" {method} |" in text for method in METHODS)
    results = json.loads((tmp_path / "page/results.json").read_text())["cells"]
    played = [cell["result"] for cell in results if "lengths" in cell["result"]]
    # all methods but the data, and the one that plans as guided does here; one budget; two with less data
    assert len(played) == len(METHODS) - 2 + 1 + 2
    assert all(max(result["lengths"]) <= 15 for result in played)


@pytest.mark.usefixtures("data")
def test_cells_of_other_data_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--folder", str(tmp_path / "run"), "--output", str(tmp_path / "page")]
    some = ["--reduced", "--workers", "0", *places, "--methods", "behaviour"]
    assert evaluate.main(some) == 0
    others = ["--tasks", "hopper-random", "--transitions", "250", "--folder", str(tmp_path / "policies")]
    assert collect.main(others) == 0
    capsys.readouterr()
    assert evaluate.main(some) == 1
    assert "finished cells are of others: {'hopper-random behaviour'" in capsys.readouterr().err


def test_errors_of_a_model_grow_by_its_bias() -> None:
    """A model that is off by a tenth in each step is off by t tenths after t steps; stretches stay within episodes."""
    states = np.arange(12.0)[:, None]
    episodes = np.repeat([0, 1, 2], [5, 3, 4])
    arrays = {"states": states, "controls": np.ones((12, 1)), "next_states": states + 1.0, "episodes": episodes}
    arrays["terminated"] = np.zeros(12, dtype=np.bool_)
    info = describe_dataset("line", arrays, (-np.ones(1), np.ones(1)), (-np.ones(1), np.ones(1)))
    segments = recorded_segments(Transitions(**arrays, dataset=info), steps=4, most=100)
    assert sorted(segments[0][:, 0, 0].tolist()) == [0.0, 1.0, 8.0]
    found = errors(lambda x, u: x + u + 0.1, segments, np.full(1, 0.5))
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8], rtol=1e-5)


def test_cells_cover_the_protocol() -> None:
    cells = all_cells(reduced=False)
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
    assert f"| 85.0 ± {half:.1f} |" in text
    assert "| iql | 1 of 1 | 0 | nowhere |" in text
    assert "| iql | 1 | 2 |" in text
    assert "1.00 (1.00 to 1.00)" in text
