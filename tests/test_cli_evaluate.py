"""`trajopt-sgp evaluate`: tiny models played in real environments; what it says is what was played."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from benchmarks.d4rl import collect
from trajopt_sgp.cli.main import run
from trajopt_sgp.data import d4rl_score, load_transitions
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID
from trajopt_sgp.studies.d4rl.environments import is_scored, make_environment
from trajopt_sgp.studies.d4rl.methods import clone_controller, load_clone
from trajopt_sgp.studies.d4rl.play import play, whole_returns

CARTPOLE = "cli/evaluate-v0"


def train(dataset: str, folder: Path, seed: int = 0) -> None:
    arguments = ("--dataset", dataset, "--preset", "d4rl", "--steps", "4", "--seed", str(seed))
    assert run(("train", *arguments, "--folder", str(folder), "--json")) == 0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of two seeds for a Hopper, and for a cart-pole, of data made here."""
    place = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(place / "data"))
        chosen = ["--tasks", "hopper-random", "--transitions", "200", "--folder", str(place / "policies")]
        assert collect.main(chosen) == 0
        collected = ("--dataset", CARTPOLE, "--transitions", "300", "--folder", str(place / "collect"))
        assert run(("collect", *collected)) == 0
        for seed in (0, 1):
            train("sgp/hopper-random-v0", place / f"hopper{seed}", seed)
        train(CARTPOLE, place / "cartpole")
    return place


@pytest.fixture(autouse=True)
def _data(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(workspace / "data"))


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(("evaluate", *arguments, "--json")) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_scores_are_those_of_the_episodes(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [workspace / "hopper0", workspace / "hopper1"]
    trained = [part for folder in folders for part in ("--trained", str(folder))]
    methods = ["--methods", "clone,guided,beta=0", "--episodes", "2", "--steps", "12", "--seed", "5"]
    found = evaluate(capsys, *trained, *methods, "--folder", str(tmp_path))
    assert (found["environment"], found["unit"], list(found["methods"])) == (
        "Hopper-v4",
        "score",
        methods[1].split(","),
    )
    for k, folder in enumerate(folders):
        played = play("hopper", clone_controller(load_clone(folder)), 2, seed=5 + 1000 * k, steps=12)
        assert found["methods"]["clone"]["returns"][k] == pytest.approx(played.returns.tolist())
        assert found["methods"]["clone"]["values"][k] == pytest.approx(d4rl_score("hopper", played.returns).tolist())
        assert found["methods"]["clone"]["lengths"][k] == played.lengths.tolist()
    for numbers in found["methods"].values():
        means = np.mean(numbers["values"], axis=1)
        # Student's interval of two runs: 12.706 standard errors
        half = 12.706 * abs(means[0] - means[1]) / 2.0
        assert numbers["mean"] == pytest.approx(means.mean())
        assert numbers["interval"] == pytest.approx([means.mean() - half, means.mean() + half], rel=1e-3)
        assert numbers["interval_over"] == "seeds of training"
        assert numbers["milliseconds_per_action"] > 0.0
    returns = whole_returns(load_transitions("sgp/hopper-random-v0"), 12)
    assert found["behaviour"]["mean"] == pytest.approx(float(d4rl_score("hopper", returns).mean()))
    assert (tmp_path / "episodes.png").stat().st_size > 5000
    assert json.loads((tmp_path / "evaluate.json").read_text())["methods"] == found["methods"]


def test_other_environments_have_returns(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--trained", str(workspace / "cartpole"), "--episodes", "2", "--steps", "6", "--no-plots"]
    found = evaluate(capsys, *arguments, "--iterations", "1", "--horizon", "3", "--folder", str(tmp_path))
    assert (found["environment"], found["unit"]) == (CARTPOLE_SWING_UP_ID, "return")
    assert list(found["methods"]) == ["guided", "clone"]
    assert found["methods"]["guided"]["interval_over"] == "episodes"
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    control = clone_controller(load_clone(workspace / "cartpole"))
    for i in range(2):
        state, _ = environment.reset(seed=1000 + i)
        total = 0.0
        for _ in range(6):
            state, reward, *_ = environment.step(control(np.array(state, dtype=np.float64)[None])[0])
            total += float(reward)
        assert found["methods"]["clone"]["returns"][0][i] == pytest.approx(total, rel=1e-5)
    environment.close()
    assert not (tmp_path / "episodes.png").exists()


def test_a_table_for_people(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--methods", "clone", "--episodes", "1", "--steps", "3", "--no-plots", "--folder", str(tmp_path))
    assert run(("evaluate", "--trained", str(workspace / "hopper0"), *arguments)) == 0
    text = capsys.readouterr().out
    for part in ("Episodes in Hopper-v4", "clone", "ms per", "The data: mean score", "Wrote"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trained", "hopper0", "--methods", "guidde"), "choose one or more of clone, guided"),
        (("--trained", "hopper0", "--methods", ","), "choose one or more of clone, guided"),
        (("--trained", "hopper0", "--budget", "0"), "--budget 0: it must be a positive number of seconds"),
        (("--trained", "hopper0", "--environment", "Jumper-v0"), "Gymnasium has no environment 'Jumper-v0'"),
        (("--trained", "hopper0", "--environment", "halfcheetah"), "observations (17,) and actions (6,); models of"),
        (("--trained", "hopper0", "--trained", "cartpole"), "evaluate them one by one"),
        (("--trained", "absent"), "absent"),
    ],
)
def test_bad_input_is_told_before_anything_is_played(
    arguments: tuple[str, ...], message: str, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [str(workspace / part) if arguments[i - 1] == "--trained" else part for i, part in enumerate(arguments)]
    assert run(("evaluate", *places, "--folder", str(tmp_path / "run"))) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_other_data_under_the_same_name_are_noticed(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    collected = ("--dataset", CARTPOLE, "--transitions", "200", "--seed", "7", "--folder", str(tmp_path / "collect"))
    assert run(("collect", *collected)) == 0
    arguments = ("--trained", str(workspace / "cartpole"), "--episodes", "1", "--steps", "2", "--no-plots")
    found = evaluate(capsys, *arguments, "--methods", "clone", "--folder", str(tmp_path / "run"))
    assert found["behaviour"] is None
    assert run(("evaluate", *arguments, "--methods", "exact", "--folder", str(tmp_path / "exact"))) == 1
    assert "on this machine is not what the models were trained on" in capsys.readouterr().err


def test_which_environments_have_reference_returns() -> None:
    assert all(map(is_scored, ("hopper", "hopper-medium", "Hopper-v4", "Walker2d-v4", "halfcheetah-random")))
    assert not any(map(is_scored, ("Hopper-v5", "Hopper", CARTPOLE_SWING_UP_ID, "hopperx")))
    environment = make_environment("Hopper-v5")
    assert environment.spec is not None
    assert environment.spec.id == "Hopper-v5"
    environment.close()
