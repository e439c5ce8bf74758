"""Ctrl-C: the exit code, and what is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trajopt_sgp.cli.main import run
from trajopt_sgp.data import write_transitions
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.learning import MODEL_FILE, TRAINERS
from trajopt_sgp.models import LearnedDynamics, fit_normalizer, save_model
from trajopt_sgp.solvers.interruption import Interruption

DATASET = "cli/interrupted-v0"


def test_a_plan_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    data = sample_cartpole_transitions(50, np.random.default_rng(0))
    save_model(LearnedDynamics(data.dataset, fit_normalizer(data), (8,)), tmp_path / MODEL_FILE)
    monkeypatch.setattr(Interruption, "requested", property(lambda self: True))
    arguments = ["--dynamics", str(tmp_path), "--starts", "2", "--no-plots", "--folder", str(tmp_path / "plan")]
    assert run(["plan", *arguments]) == 130
    assert "Interrupted: this is the best plan so far." in capsys.readouterr().out
    assert (tmp_path / "plan" / "plan.json").exists()


def test_training_says_that_nothing_is_kept_before_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    write_transitions(sample_cartpole_transitions(50, np.random.default_rng(0)), DATASET, overwrite=True)
    monkeypatch.setitem(TRAINERS, "dynamics", (TRAINERS["dynamics"][0], stop))
    arguments = ["--dataset", DATASET, "--models", "dynamics", "--steps", "40", "--folder", str(tmp_path / "train")]
    assert run(["train", *arguments]) == 130
    told, last = capsys.readouterr().err.splitlines()
    assert told.startswith("Nothing of dynamics is kept: its first checkpoint is written after 40 steps")
    assert last == "Interrupted."
    (tmp_path / "train" / "dynamics").mkdir()
    (tmp_path / "train" / "dynamics" / "checkpoint.safetensors").touch()
    assert run(["train", *arguments]) == 130
    assert "Nothing of dynamics" not in capsys.readouterr().err
