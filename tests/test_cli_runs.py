"""The command line as users run it: a process of its own, a folder of its own, tiny settings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from trajopt_sgp.data import Normalizer, Transitions, load_transitions
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID
from trajopt_sgp.models import (
    EnsembleDynamics,
    LearnedDistance,
    LearnedDynamics,
    TransitionModel,
    load_model,
    load_model_as,
)
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.uncertainty import ModelBiasCertificate, save_certificate

COMMAND = str(Path(sys.executable).with_name("trajopt-sgp"))
DATASET = "cli/runs-v0"
SMALL = ("--hidden-sizes", "16,16", "--steps-dynamics", "50", "--steps-score", "50", "--steps-energy", "50")


def execute(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder` and insist on success."""
    result = subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result


def document(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on standard output; anything beside it is an error."""
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset collected and models trained by the command."""
    place = tmp_path_factory.mktemp("runs")
    execute(place, "collect", "--transitions", "300", "--dataset", DATASET, "--json")
    execute(place, "train", "--dataset", DATASET, *SMALL, "--folder", "train", "--json")
    return place


def models(*kinds: str) -> list[str]:
    """Options that name trained models by the folder of their run."""
    return [part for kind in kinds for part in (f"--{kind}", f"train/{kind}")]


def test_recordings_are_imported_and_learned_from(folder: Path) -> None:
    times = 0.02 * np.arange(60)
    times[30:] += 1.0
    rows = np.column_stack([times, np.sin(times), np.cos(times), np.tanh(times)])
    text = "\n".join(["t,q,dq,u", *(",".join(map(repr, row)) for row in rows.tolist())])
    (folder / "log.csv").write_text(text, encoding="utf-8")
    names = ("--states", "q,dq", "--controls", "u", "--time", "t", "--control-bounds", "-1", "1", "--seed", "3")
    result = document(execute(folder, "import", "log.csv", "--dataset", "cli/log-v0", *names, "--json"))
    assert (result["transitions"], result["left_out"], result["episodes"]) == (58, 1, 2)
    assert result["time_step"] == pytest.approx(0.02)
    info = load_transitions("cli/log-v0").dataset
    assert (info.hash, info.control_low, info.control_high) == (result["hash"], (-1.0,), (1.0,))
    execute(folder, "train", "--dataset", "cli/log-v0", *SMALL, "--folder", "log", "--json")
    assert load_model_as(LearnedDynamics, folder / "log/dynamics/model.safetensors").state_size == 2


@pytest.mark.parametrize("command", [[COMMAND], [sys.executable, "-m", "trajopt_sgp"]], ids=["script", "module"])
def test_help_lists_the_commands(command: list[str]) -> None:
    result = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert all(name in result.stdout for name in ("collect", "train", "plan", "mpc", "demo", "info"))


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"]], ids=" ".join)
def test_help_is_fast_since_it_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import contextlib, io, sys
from trajopt_sgp.cli.main import run
with contextlib.redirect_stdout(io.StringIO()):
    run({arguments})
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = set(result.stdout.split())
    assert "typer" in packages
    assert not packages & {"torch", "casadi", "numpy", "scipy", "gymnasium", "minari", "matplotlib", "h5py", "numba"}


def test_collect_writes_a_dataset_that_minari_reads(folder: Path) -> None:
    data = load_transitions(DATASET)
    written = json.loads((folder / "runs/collect/collect.json").read_text())
    assert (len(data), data.dataset.hash) == (300, written["hash"])
    assert data.dataset.environment == CARTPOLE_SWING_UP_ID


def test_train_leaves_models_metrics_and_config(folder: Path) -> None:
    config = json.loads((folder / "train/config.json").read_text())
    assert (config["command"], config["arguments"]["dataset"], config["arguments"]["seed"]) == ("train", DATASET, 0)
    assert {"python", "torch", "trajopt_sgp"} <= set(config["versions"])
    summary = json.loads((folder / "train/train.json").read_text())
    for kind in ("dynamics", "score", "energy"):
        assert summary["models"][kind]["settings"]["hidden_sizes"] == [16, 16]
        assert {path.name for path in (folder / "train" / kind).iterdir()} == {
            "model.safetensors",
            "checkpoint.safetensors",
            "metrics.jsonl",
            "tensorboard",
        }


def test_the_alternatives_are_trained_and_hold_plans(folder: Path) -> None:
    small = ("--hidden-sizes", "16,16", "--steps-ensemble", "30", "--steps-learned-distance", "20")
    kinds: dict[str, type[TransitionModel]] = {"ensemble": EnsembleDynamics, "learned-distance": LearnedDistance}
    arguments = ("train", "--dataset", DATASET, *small, "--models", ",".join(kinds), "--folder", "others", "--json")
    trained = document(execute(folder, *arguments))["models"]
    assert {name: entry["steps"] for name, entry in trained.items()} == {"ensemble": 30, "learned-distance": 20}
    for name, kind in kinds.items():
        model = load_model(folder / trained[name]["file"])
        assert isinstance(model, kind)
        assert model.dataset.hash == load_transitions(DATASET).dataset.hash
    tiny = ("--option", "iterations=2", "--starts", "1", "--horizon", "4", "--no-plots", "--beta", "2", "--json")
    for name, source in {"exact": DATASET, **{kind: f"others/{kind}" for kind in kinds}}.items():
        planned = document(execute(folder, "plan", *models("dynamics"), f"--{name}", source, *tiny))
        assert [guide["beta"] for guide in planned["guidance"]] == [2.0], name
        if name == "ensemble":  # its variance is not calibrated, and no length
            assert planned["data_distance"] is None
        else:
            assert planned["data_distance"]["max"] >= planned["data_distance"]["mean"] >= 0.0
        assert planned["models"]["dataset"]["hash"] == load_transitions(DATASET).dataset.hash


def test_a_preset_trains_what_planning_for_rewards_needs(folder: Path) -> None:
    small = ("--hidden-sizes", "16,16", "--steps", "20", "--steps-score", "30", "--folder", "preset", "--json")
    trained = document(execute(folder, "train", "--dataset", DATASET, "--preset", "d4rl", *small))["models"]
    assert {name: entry["steps"] for name, entry in trained.items()} == {
        **dict.fromkeys(("ensemble", "outcome", "value", "clone"), 20),
        "score": 30,
    }
    z = Normalizer.standard(np.hstack([(data := load_transitions(DATASET)).states, data.controls]))
    for entry in trained.values():
        assert load_model(folder / entry["file"]).normalizer.scale == pytest.approx(z.scale, rel=1e-6)


def test_train_once_more_changes_nothing(folder: Path) -> None:
    before = (folder / "train/dynamics/model.safetensors").read_bytes()
    result = execute(folder, "train", "--dataset", DATASET, *SMALL, "--folder", "train", "--models", "dynamics")
    assert "one-step error" in result.stdout
    assert "One step of dynamics on unseen transitions" in result.stdout
    (errors,) = (
        entry["step_errors"] for entry in json.loads((folder / "train/train.json").read_text())["models"].values()
    )
    assert all(error["share"] == pytest.approx(error["error"] / error["typical_step"]) for error in errors)
    assert ("Warning: dynamics: One step on unseen data" in result.stderr) == any(e["share"] > 0.3 for e in errors)
    assert "Wrote train/dynamics/model.safetensors" in result.stdout
    assert (folder / "train/dynamics/model.safetensors").read_bytes() == before


def test_every_dataset_has_a_folder_of_its_own(folder: Path) -> None:
    tiny = ("--models", "score", "--steps", "2", "--hidden-sizes", "4", "--json")
    assert document(execute(folder, "train", "--dataset", DATASET, *tiny))["folder"] == f"runs/train/{DATASET}"
    assert (folder / f"runs/train/{DATASET}/score/model.safetensors").exists()


def test_train_refuses_the_folder_of_another_run(folder: Path) -> None:
    before = (folder / "train/dynamics/checkpoint.safetensors").read_bytes()
    arguments = ["train", "--dataset", DATASET, *SMALL, "--folder", "train", "--models", "dynamics", "--seed", "5"]
    result = subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "holds a training run with seed = 0, not 5" in result.stderr
    assert "Traceback" not in result.stderr
    assert (folder / "train/dynamics/checkpoint.safetensors").read_bytes() == before
    assert json.loads((folder / "train/config.json").read_text())["arguments"]["seed"] == 0


def test_plan_writes_what_it_prints_and_is_judged_by_the_environment(folder: Path) -> None:
    small = ("--option", "iterations=30", "--starts", "3", "--horizon", "12", "--folder", "plan")
    printed = document(execute(folder, "plan", *models("dynamics", "score"), *small, "--json"))
    stored = json.loads((folder / "plan/plan.json").read_text())
    files = printed.pop("files")
    assert {name: stored[name] for name in printed} == printed
    assert all((folder / path).stat().st_size > 0 for path in files.values())
    assert np.shape(stored["states"]) == (13, 4)
    assert np.shape(stored["controls"]) == (12, 1)
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    state, _ = environment.reset(options={"state": stored["states"][0]})
    for control, expected in zip(stored["controls"], stored["true_states"][1:], strict=True):
        state = environment.step(control)[0]
        np.testing.assert_allclose(state, expected, rtol=0.0, atol=1e-12)
    environment.close()


def some_transitions() -> Transitions:
    """A part of the data, as if the models had not seen them."""
    data = load_transitions(DATASET)
    return data.select(np.arange(len(data) - 1))


def test_plan_shows_what_a_certificate_promised(folder: Path) -> None:
    dynamics = load_model_as(LearnedDynamics, folder / "train/dynamics/model.safetensors")
    certificate = ModelBiasCertificate.fit(dynamics, some_transitions(), np.random.default_rng(0))
    save_certificate(certificate, folder / "bias.safetensors")
    small = ("--option", "iterations=5", "--starts", "1", "--horizon", "6", "--certificate", "bias.safetensors")
    output = execute(folder, "plan", *models("dynamics"), *small, "--folder", "certified").stdout
    assert "Certificate of the model's error" in output and "one-step error" in output
    assert "no confidence can be stated" in " ".join(output.split())
    stored = json.loads((folder / "certified/plan.json").read_text())
    plan = Trajectory(np.array(stored["states"]), np.array(stored["controls"]), stored["time_step"])
    np.testing.assert_allclose(stored["error_bound_by_knot"], certificate.evaluate(plan).bound, rtol=1e-6)
    error, distance = stored["certificate"]["promises"]
    assert error["promised"] == pytest.approx(np.median(stored["error_bound_by_knot"]))
    assert error["kept"] == (error["ratio"] <= 1.0) and distance["promised"] > 0.0
    assert (folder / "certified/certificate.png").stat().st_size > 0
    execute(folder, "train", "--dataset", DATASET, *SMALL, "--models", "dynamics", "--seed", "1", "--folder", "other")
    arguments = ["plan", "--dynamics", "other/dynamics", *small, "--folder", "refused"]
    refused = subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "is about another model" in refused.stderr


def test_plan_with_ipopt_reports_status_costs_and_distance(folder: Path) -> None:
    small = ("--solver", "ipopt", "--option", "max_iterations=1", "--option", "options.mu_strategy=adaptive")
    arguments = (*models("dynamics", "energy"), *small, "--starts", "2", "--horizon", "8", "--no-plots", "--no-limits")
    output = execute(folder, "plan", *arguments, "--folder", "ipopt").stdout
    assert "Ipopt on DirectTranscription: stopped at the iteration limit" in output
    assert all(text in output for text in ("effort", "terminal", "Distance to data [normalised units]", "All 2 starts"))
    assert json.loads((folder / "ipopt/plan.json").read_text())["force_limits"] is False
    assert {path.name for path in (folder / "ipopt").iterdir()} == {"config.json", "plan.json"}


def test_mpc_runs_in_the_environment(folder: Path) -> None:
    small = ("--episodes", "2", "--seconds", "2.05", "--horizon", "3", "--option", "max_iterations=3")
    printed = document(execute(folder, "mpc", *models("dynamics", "energy"), *small, "--folder", "mpc", "--json"))
    stored = json.loads((folder / "mpc/mpc.json").read_text())
    assert np.shape(stored["states"]) == (2, 42, 4)
    assert np.abs(stored["controls"]).max() <= 80.0
    assert printed["success_rate"] == np.mean(printed["success"])
    assert printed["step_ms_p99"] >= printed["step_ms_p50"] > 0.0
    assert (folder / "mpc/mpc.png").stat().st_size > 0


def test_info_tells_a_model_from_a_dataset(folder: Path) -> None:
    model = document(execute(folder, "info", "train/energy/model.safetensors", "--json"))
    data = document(execute(folder, "info", DATASET, "--json"))
    assert (model["class"], model["dataset"]["hash"]) == ("EnergyNetwork", data["hash"])
    assert len(model["calibration"]["sigmas"]) == len(model["calibration"]["offsets"]) > 1
    assert (data["transitions"], data["state_size"], data["control_size"]) == (300, 4, 1)


def test_info_tells_certificates_and_checkpoints(folder: Path) -> None:
    dynamics = load_model_as(LearnedDynamics, folder / "train/dynamics")
    certificate = ModelBiasCertificate.fit(dynamics, some_transitions(), np.random.default_rng(0))
    save_certificate(certificate, folder / "told.safetensors")
    told = document(execute(folder, "info", "told.safetensors", "--json"))
    assert (told["kind"], told["dataset"]["id"], told["calibration"]) == ("certificate", DATASET, None)
    checkpoint = document(execute(folder, "info", "train/energy/checkpoint.safetensors", "--json"))
    assert (checkpoint["kind"], checkpoint["step"]) == ("checkpoint of a training run", 50)
    assert checkpoint["run"]["model"] == "EnergyNetwork"


def test_steps_of_a_model_that_is_not_trained_are_noted(folder: Path) -> None:
    arguments = ("train", "--dataset", DATASET, *SMALL, "--models", "dynamics", "--folder", "train")
    result = execute(folder, *arguments, "--steps-ensemble", "5")
    notes = [line for line in result.stderr.splitlines() if "is ignored" in line]
    assert [line.split()[0] for line in notes] == ["--steps-score", "--steps-energy", "--steps-ensemble"]


def test_dynamics_learn_from_rollouts_on_request(folder: Path) -> None:
    arguments = ("train", "--dataset", DATASET, *SMALL[:4], "--rollout-steps", "3", "--rollout-decay", "0.5")
    found = document(execute(folder, *arguments, "--models", "dynamics", "--folder", "rolled", "--json"))
    settings = found["models"]["dynamics"]["settings"]
    assert (settings["rollout_steps"], settings["rollout_decay"]) == (3, 0.5)
    result = execute(folder, *arguments, "--models", "energy", "--steps", "20", "--folder", "rolled")
    notes = [line.split()[0] for line in result.stderr.splitlines() if "is ignored" in line]
    assert notes == ["--rollout-steps", "--rollout-decay", "--steps-dynamics"]


def test_interrupt_is_one_line_and_leaves_whole_files(folder: Path) -> None:
    arguments = ["train", "--dataset", DATASET, "--models", "energy", "--validate-every", "5", "--folder", "stopped"]
    process = subprocess.Popen([COMMAND, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60.0
    while not (folder / "stopped/energy/checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60.0)
    assert (process.returncode, errors) == (130, "Interrupted.\n")
    names = {path.name for path in (folder / "stopped/energy").iterdir()}
    assert names == {"checkpoint.safetensors", "metrics.jsonl", "tensorboard"}
