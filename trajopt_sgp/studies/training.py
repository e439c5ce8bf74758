"""Collecting data and training all models of the cart-pole study, two processes side by side."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch

from trajopt_sgp.data import Transitions, collect_random_transitions, load_transitions, write_minari_dataset
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, sample_cartpole_transitions
from trajopt_sgp.errors import ModelFileError
from trajopt_sgp.learning import (
    MODEL_FILE,
    DynamicsSettings,
    EnergySettings,
    ScoreSettings,
    TrainingSettings,
    train_dynamics,
    train_energy,
    train_score,
)
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork, load_model
from trajopt_sgp.models.denoiser import Denoiser
from trajopt_sgp.uncertainty.validation import gradient_error

Settings = TypeVar("Settings", bound=TrainingSettings)

Report = Callable[[str], None]
"""Called with a line of text about what goes on."""

SIGMAS = (0.05, 0.1, 0.2, 0.4)
"""Noise levels at which learned gradients are compared with the closed form."""

_KINDS = ("score", "energy", "dynamics")

# Far from every training seed: the data that gradients are judged on are new.
_FRESH_SEED = 1_000_003


@dataclass(frozen=True)
class TrainingPlan:
    """What to collect and how long to train."""

    transitions: int = 10_000
    """Transitions to collect."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Optimiser steps of `dynamics`, `score`, `energy`; the defaults of the library where missing."""
    reference_points: int = 1_000_000
    """Fresh transitions that make the closed form."""
    queries: int = 512
    """Further fresh transitions at which gradients are compared."""

    def shortened(self, settings: Settings, kind: str) -> Settings:
        """Return the settings of a kind of model with the number of steps of this plan."""
        steps = self.steps.get(kind, settings.steps)
        return replace(settings, steps=steps, validate_every=min(steps, settings.validate_every))


@dataclass(frozen=True)
class TrainedModels:
    """The models of one seed and what training them gave."""

    dynamics: LearnedDynamics
    """Trained on the dataset."""
    score: ScoreNetwork
    """Trained on the dataset."""
    energy: EnergyNetwork
    """Trained on the dataset."""
    summary: Mapping[str, Mapping[str, Any]]
    """By kind of model: seconds, and validation_rmse or gradient_error by σ."""


def collect_dataset(dataset_id: str, transitions: int, seed: int) -> Transitions:
    """Step the real environment under random forces, write a Minari dataset and read it back."""
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    episodes = collect_random_transitions(environment, transitions, seed)
    write_minari_dataset(episodes, dataset_id, environment, overwrite=True)
    environment.close()
    return load_transitions(dataset_id)


def train_all(dataset_id: str, folder: Path, seed: int, plan: TrainingPlan, report: Report) -> TrainedModels:
    """Train dynamics, score and energy on a dataset, each in a process of one thread, two at a time."""
    summary: dict[str, Mapping[str, Any]] = {}
    with ProcessPoolExecutor(max_workers=2, mp_context=multiprocessing.get_context("spawn")) as pool:
        # the longest first
        jobs = {pool.submit(_train_one, kind, dataset_id, folder, seed, plan): kind for kind in reversed(_KINDS)}
        for job in as_completed(jobs):
            summary[jobs[job]] = job.result()
            report(f"trained {jobs[job]}: {_describe(summary[jobs[job]])}")
    return load_models(folder, {kind: summary[kind] for kind in _KINDS})


def load_models(folder: Path, summary: Mapping[str, Mapping[str, Any]]) -> TrainedModels:
    """Read the models that `train_all` has written to a folder.

    Raises:
        ModelFileError: a file is missing, damaged or holds another kind of model.
    """
    score, energy, dynamics = (load_model(folder / kind / MODEL_FILE) for kind in _KINDS)
    if isinstance(dynamics, LearnedDynamics) and isinstance(score, ScoreNetwork) and isinstance(energy, EnergyNetwork):
        return TrainedModels(dynamics, score, energy, summary)
    raise ModelFileError(f"{folder} must hold a LearnedDynamics, a ScoreNetwork and an EnergyNetwork under {_KINDS}.")


def _train_one(kind: str, dataset_id: str, folder: Path, seed: int, plan: TrainingPlan) -> Mapping[str, Any]:
    torch.set_num_threads(1)
    data, place = load_transitions(dataset_id), folder / kind
    if kind == "dynamics":
        result = train_dynamics(data, plan.shortened(DynamicsSettings(), kind), seed, place)
        return {"seconds": result.seconds, "validation_rmse": result.validation_rmse}
    if kind == "score":
        score = train_score(data, plan.shortened(ScoreSettings(), kind), seed, place)
        return {"seconds": score.seconds, "gradient_error": _gradient_errors(score.model, seed, plan)}
    energy = train_energy(data, plan.shortened(EnergySettings(), kind), seed, place)
    return {"seconds": energy.seconds, "gradient_error": _gradient_errors(energy.model, seed, plan)}


def _gradient_errors(model: Denoiser, seed: int, plan: TrainingPlan) -> dict[str, float]:
    fresh = sample_cartpole_transitions(plan.reference_points + plan.queries, np.random.default_rng(_FRESH_SEED + seed))
    z = model.normalizer.normalize(np.hstack([fresh.states, fresh.controls])).astype(np.float32)
    order = np.random.default_rng(_FRESH_SEED).permutation(len(z))
    queries, points = torch.from_numpy(z[order[: plan.queries]]), torch.from_numpy(z[order[plan.queries :]])
    errors = gradient_error(model, points, queries, SIGMAS, torch.Generator().manual_seed(_FRESH_SEED))
    return {str(sigma): error for sigma, error in errors.items()}


def _describe(summary: Mapping[str, Any]) -> str:
    if "validation_rmse" in summary:
        return f"{summary['seconds']:.0f} s, one-step error on unseen transitions {summary['validation_rmse']:.4f}"
    errors = ", ".join(f"{error:.3f} at σ = {sigma}" for sigma, error in summary["gradient_error"].items())
    return f"{summary['seconds']:.0f} s, relative gradient error {errors}"
