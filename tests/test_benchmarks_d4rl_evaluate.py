"""The comparison on D4RL's tasks, reduced to one dataset, tiny models and two short episodes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from benchmarks.d4rl import collect, evaluate
from benchmarks.d4rl.beside import model_error_table
from benchmarks.d4rl.figures import draw
from benchmarks.d4rl.model_error import errors, recorded_segments
from benchmarks.d4rl.protocol import METHODS, all_cells
from benchmarks.d4rl.table import common, gather, page
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
    assert "3 of 20 cells finished" in text
    assert "Partial" in text
    before = {path.name: path.read_bytes() for path in (tmp_path / "run/cells").iterdir()}
    assert evaluate.main(some) == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "run/cells").iterdir()}
    assert before.items() <= after.items()
    text = (tmp_path / "page/index.md").read_text()
    assert "20 of 20 cells finished" in text
    assert "Partial" not in text
    assert all(f" {method} |" in text for method in METHODS)
    results = json.loads((tmp_path / "page/results.json").read_text())["cells"]
    played = [cell["result"] for cell in results if "lengths" in cell["result"]]
    # all methods but the data and the one that plans as guided does; true dynamics; one budget; two with less data
    assert len(played) == len(METHODS) - 2 + 1 + 1 + 2
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
    assert [seed.tolist() for seed in gather(records)["guided"]["hopper-medium"]] == [[90.0, 100.0], [70.0, 80.0]]
    text = page(records)
    # two seeds, 95 and 75 in the mean; one seed, whose episodes are 40 and 60
    assert f"| 85.0 ± {12.706205 * np.std([95.0, 75.0], ddof=1) / np.sqrt(2.0):.1f} |" in text
    assert f"| 50.0 ± {12.706205 * np.std([40.0, 60.0], ddof=1) / np.sqrt(2.0):.1f} † |" in text
    assert "| iql | 1 of 1 | 0 | nowhere |" in text
    assert "| iql | 1 | 2 |" in text
    assert "1.00 (1.00 to 1.00)" in text


def test_no_episode_is_left_out_of_the_aggregates() -> None:
    """A task of three seeds beside a task of one: all of their episodes count, and the tasks alike."""
    records = [
        record(method, "hopper-medium", [value + seed, value + seed + 1.0], seed)
        for method, value in (("guided", 50.0), ("beta=0", 10.0))
        for seed in range(3)
    ]
    records += [record(method, "hopper-random", [value, value]) for method, value in (("guided", 8.0), ("beta=0", 4.0))]
    text = page(records)
    shared = common({method: gather(records)[method] for method in ("guided", "beta=0")})
    assert [[len(seed) for seed in runs] for runs in shared["beta=0"]] == [[2], [2, 2, 2]]
    assert "| beta=0 | 2 | 8 |" in text
    assert {"performance-profile"} == set(draw(records))


def test_episodes_of_few_seeds_make_no_narrow_interval() -> None:
    """Scores that were measured: seeds of 7.2, 34.3 and 6.7 say little of the next one."""
    records = [
        record("guided", "hopper-medium-replay", [value - 1.0, value, value + 1.0], seed)
        for seed, value in enumerate((7.2, 34.3, 6.7))
    ]
    assert f"| 16.1 ± {4.302653 * np.std([7.2, 34.3, 6.7], ddof=1) / np.sqrt(3.0):.1f} |" in page(records)


def test_bars_of_figures_are_intervals_that_are_named() -> None:
    settings = {"task": "hopper-medium", "iterations": 5, "seed": 0}
    played = CellRecord("d4rl", 1, "k", "b", "plan", settings, {}, "finished", {"scores": [1.0, 2.0, 3.0]})
    times = {"5 iterations": {"1": 2.0, "10": 1.0}}
    timed = CellRecord("d4rl", 1, "s", "s", "speed", {"task": "hopper-medium"}, {}, "finished", times)
    figure = draw([played, timed])["return-against-time"]
    drawn = figure.axes[0].containers[0]
    assert isinstance(drawn, ErrorbarContainer)
    (bars,) = drawn.lines[2]
    (segment,) = bars.get_segments()
    half = 4.302653 / np.sqrt(3.0)
    assert segment[:, 1] == pytest.approx([2.0 - half, 2.0 + half])
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "bars: 95 % over\nepisodes of one seed"


def test_errors_along_the_data_are_said_to_be_of_training() -> None:
    settings, result = {"task": "hopper-medium", "seed": 0, "steps": 2}, {"recorded": [0.1, 0.2], "clone": [0.3, 0.4]}
    found = CellRecord("d4rl", 1, "k", "m", "model_error", settings, {}, "finished", result)
    assert "has learned from all but 5 %" in model_error_table([found])
