"""Every bad input that reaches the command line: one sentence, an exit code, nothing half-written, no traceback."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from tests.synthetic import linear_transitions
from trajopt_sgp.cli.main import run
from trajopt_sgp.data import Transitions, load_transitions, write_minari_dataset, write_transitions
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, PLANAR_PUSHER_ID
from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork, fit_normalizer, save_model

DATASET, OTHER, DAMAGED = "cli/errors-v0", "cli/errors-other-v0", "cli/errors-nan-v0"
ARM = "cli/errors-arm-v0"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets (two sound ones, one with NaN) and models of the sound ones."""
    place = tmp_path_factory.mktemp("errors")
    for seed, name in enumerate((DATASET, OTHER)):
        arguments = ("--dataset", name, "--seed", str(seed), "--transitions", "50")
        assert run(("collect", *arguments, "--folder", str(place / f"collect{seed}"))) == 0
        save_models(load_transitions(name), place / f"train{seed}")
    write_nan_dataset()
    other_system = linear_transitions(60, 0)
    save_models(other_system, place / "arm")
    write_transitions(replace(other_system, episodes=np.arange(60)), ARM)
    model = (place / "train0/dynamics/model.safetensors").read_bytes()
    (place / "truncated.safetensors").write_bytes(model[:-100])
    (place / "flipped.safetensors").write_bytes(model[:-100] + bytes([model[-100] ^ 1]) + model[-99:])
    return place


def save_models(data: Transitions, place: Path) -> None:
    """Untrained models of a dataset, in the places where `train` puts them."""
    for name, kind in (("dynamics", LearnedDynamics), ("score", ScoreNetwork), ("energy", EnergyNetwork)):
        (place / name).mkdir(parents=True)
        save_model(kind(data.dataset, fit_normalizer(data), (8,)), place / name / MODEL_FILE)


def write_nan_dataset() -> None:
    """A dataset whose first episode has NaN in one state."""
    observations = np.zeros((6, 4))
    observations[3, 1] = np.nan
    zeros = np.zeros(5)
    episode = EpisodeBuffer(
        observations=observations,
        actions=np.zeros((5, 1)),
        rewards=zeros,
        terminations=zeros.astype(bool),
        truncations=np.arange(5) == 4,
    )
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    write_minari_dataset([episode, episode], DAMAGED, environment)
    environment.close()


def contents(place: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


PLAN = ("plan", "--dynamics", "{place}/train0/dynamics")
CASES: dict[str, tuple[Sequence[str], str, Sequence[str]]] = {
    "unknown dataset": (
        ("train", "--dataset", "cli/absent-v0"),
        "DatasetError",
        ("'cli/absent-v0' is not in", "minari list remote", "--download", "trajopt-sgp collect"),
    ),
    "rewards that were never recorded": (
        ("train", "--dataset", ARM, "--preset", "d4rl"),
        "DatasetError",
        (f"Dataset '{ARM}' has no rewards", "costs that a problem states"),
    ),
    "malformed dataset id": (("train", "--dataset", "no version"), "DatasetError", ("namespace/name-v0",)),
    "dataset with NaN": (("train", "--dataset", DAMAGED), "NotFiniteError", ("NaN", "episode 0, step 3")),
    "unknown model": (
        ("train", "--dataset", DATASET, "--models", "energie"),
        "OptionError",
        ("dynamics, score, energy",),
    ),
    "no steps": (("train", "--dataset", DATASET, "--steps-score", "0"), "OptionError", ("steps = 0", "at least 1")),
    "layer widths": (("train", "--dataset", DATASET, "--hidden-sizes", "8,x"), "OptionError", ("whole numbers",)),
    "unknown device": (
        ("train", "--dataset", DATASET, "--device", "abacus"),
        "OptionError",
        ("'abacus' cannot be used",),
    ),
    "dataset exists": (("collect", "--dataset", DATASET), "DatasetError", ("exists", "--overwrite")),
    "unknown environment": (
        ("collect", "--dataset", "cli/new-v0", "--environment", "Absent-v0"),
        "OptionError",
        ("'Absent-v0' cannot be made", CARTPOLE_SWING_UP_ID, PLANAR_PUSHER_ID, "trajopt_sgp/LightDark-v0"),
    ),
    "no transitions": (
        ("collect", "--dataset", "cli/new-v0", "--transitions", "0"),
        "OptionError",
        ("transitions = 0",),
    ),
    "missing model": (("plan", "--dynamics", "{place}/absent"), "ModelFileError", ("absent cannot be read",)),
    "truncated model": (("plan", "--dynamics", "{place}/truncated.safetensors"), "ModelFileError", ("is truncated",)),
    "flipped bit": (("plan", "--dynamics", "{place}/flipped.safetensors"), "ModelFileError", ("checksum",)),
    "another kind of model": (
        ("plan", "--dynamics", "{place}/train0/score"),
        "ModelFileError",
        ("ScoreNetwork, not a LearnedDynamics",),
    ),
    "models of different data": (
        (*PLAN, "--score", "{place}/train1/score"),
        "IncompatibleError",
        (f"'{DATASET}'", f"'{OTHER}'", "same data"),
    ),
    "different data in mpc": (
        ("mpc", *PLAN[1:], "--energy", "{place}/train1/energy"),
        "IncompatibleError",
        ("same data",),
    ),
    "model of another system": (
        ("plan", "--dynamics", "{place}/arm/dynamics"),
        "IncompatibleError",
        ("arm/dynamics/model.safetensors has 3 states and 2 controls", "cart-pole alone", "in Python"),
    ),
    "model of another system in mpc": (
        ("mpc", "--dynamics", "{place}/arm/dynamics"),
        "IncompatibleError",
        ("3 states and 2 controls", "cart-pole alone"),
    ),
    "exact distance to another system": (
        (*PLAN, "--exact", ARM),
        "IncompatibleError",
        (f"Dataset '{ARM}' has 3 states and 2 controls", "cart-pole alone"),
    ),
    "folder above models": (
        ("plan", "--dynamics", "{place}/train0"),
        "ModelFileError",
        ("train0 is a folder without model.safetensors", "dynamics, energy, score"),
    ),
    "neither file nor dataset to describe": (
        ("info", "nope"),
        "DatasetError",
        ("'nope' is neither a file or folder that exists nor a Minari id",),
    ),
    "models without a clone to play": (
        ("evaluate", "--trained", "{place}/train0"),
        "ModelFileError",
        ("train0 holds no cloned behaviour: train it by trajopt-sgp train --preset d4rl",),
    ),
    "folder above models to describe": (
        ("info", "{place}/train0"),
        "ModelFileError",
        ("give one of its folders dynamics, energy, score",),
    ),
    "control bounds that are no numbers": (
        (
            "import",
            "log.csv",
            "--dataset",
            "cli/new-v0",
            "--states",
            "q",
            "--controls",
            "u",
            "--control-bounds",
            "-1",
            "x",
        ),
        "OptionError",
        ("--control-bounds: 'x' is no number", "-5 5"),
    ),
    "pair that does not exist": (
        (*PLAN, "--formulation", "direct-transcription", "--solver", "mppi"),
        "IncompatibleError",
        ("DirectTranscription does not work with MPPI", "DirectTranscription with Ipopt"),
    ),
    "unknown solver option": (
        (*PLAN, "--option", "iteration=3"),
        "OptionError",
        ("'iteration'", "iterations, step_size, final_step"),
    ),
    "unknown option of Ipopt itself": (
        (*PLAN, "--solver", "ipopt", "--option", "options.mu=3"),
        "OptionError",
        ("No such IPOPT option: mu",),
    ),
    "value of the wrong kind": ((*PLAN, "--option", "iterations=1.5"), "OptionError", ("a whole number",)),
    "option without value": ((*PLAN, "--option", "iterations"), "OptionError", ("key=value",)),
    "horizon 0": ((*PLAN, "--horizon", "0"), "OptionError", ("horizon = 0", "at least 1")),
    "horizon 0 in mpc": (("mpc", *PLAN[1:], "--horizon", "0"), "OptionError", ("horizon = 0", "at least 1")),
    "no starts": ((*PLAN, "--starts", "0"), "OptionError", ("--starts 0",)),
    "weight not a number": ((*PLAN, "--effort", "nan"), "OptionError", ("--effort nan",)),
    "β without a model": ((*PLAN, "--beta", "3"), "OptionError", ("--score, --energy", "or --exact")),
    "σ beyond the model": (
        (*PLAN, "--score", "{place}/train0/score", "--sigma-start", "7"),
        "OptionError",
        ("sigma = 7", "[0.02, 0.6]"),
    ),
    "episode too short to judge": (("mpc", *PLAN[1:], "--seconds", "1"), "OptionError", ("the last 2 s",)),
    "episode as long as is judged": (("mpc", *PLAN[1:], "--seconds", "2"), "OptionError", ("give more than 2,",)),
    "no such dataset to describe": (("info", "cli/absent-v0"), "DatasetError", ("minari list remote",)),
    "damaged model to describe": (("info", "{place}/flipped.safetensors"), "ModelFileError", ("checksum",)),
}


def arguments_of(name: str, workspace: Path, tmp_path: Path) -> list[str]:
    """The command line of a case, writing below `tmp_path`."""
    arguments = [part.format(place=workspace) for part in CASES[name][0]]
    return arguments if arguments[0] == "info" else [*arguments, "--folder", str(tmp_path / "run")]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence(
    name: str, workspace: Path, minari_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(workspace), contents(minari_root)
    assert run(arguments_of(name, workspace, tmp_path)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert printed.err.count("\n") == 1
    assert all(part in printed.err for part in CASES[name][2]), printed.err
    assert (contents(workspace), contents(minari_root)) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["unknown dataset", "flipped bit", "horizon 0"])
def test_error_is_json_when_asked_for(
    name: str, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments_of(name, workspace, tmp_path), "--json"]) == 1
    printed = capsys.readouterr()
    document: dict[str, Any] = json.loads(printed.out)
    assert set(document) == {"error", "kind"}
    assert document["kind"] == CASES[name][1]
    assert printed.err == f"Error: {document['error']}\n"


def test_debug_shows_the_traceback(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--debug", *arguments_of("flipped bit", workspace, tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "Traceback (most recent call last)" in errors
    assert "read_tensors" in errors
    assert errors.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("command", ["train", "plan", "mpc", "collect"])
def test_unwritable_folder_is_refused_before_the_work(
    command: str, workspace: Path, tmp_path: Path, minari_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    before = contents(minari_root)
    sources = {"train": ["--dataset", DATASET], "collect": ["--dataset", "cli/unwritable-v0"]}
    source = sources.get(command, ["--dynamics", str(workspace / "train0/dynamics")])
    assert run([command, *source, "--folder", str(tmp_path / "file/run")]) == 1
    assert f"{tmp_path}/file/run cannot be used: Not a directory" in capsys.readouterr().err
    assert contents(minari_root) == before


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["plan"], "Missing option '--dynamics'"),
        (["plan", "--dynamics", "x", "--solver", "newton"], "'gradient-descent', 'lbfgs', 'ipopt'"),
        (["plan", "--dynamics", "x", "--score", "y", "--energy", "z"], "--score and --energy cannot go together"),
        (["collect", "--seed", "-1"], "--seed"),
        (["collect", "--transitions", "many"], "--transitions"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--json"]) == 2
    printed = capsys.readouterr()
    assert hint in printed.err
    assert hint in json.loads(printed.out)["error"]
