"""Small models of a toy, all from the same data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import PlanarWorld, sample_point_mass_transitions
from trajopt_sgp.learning import (
    MODEL_FILE,
    DynamicsSettings,
    EnergySettings,
    ScoreSettings,
    train_dynamics,
    train_energy,
    train_score,
)
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork, load_model_as
from trajopt_sgp.uncertainty import ExactSmoothedDistance

SigmaRange = tuple[float, float]
"""Smallest and largest noise level."""

_VALIDATE_EVERY = 200


@dataclass(frozen=True)
class TrainingBudget:
    """How much data and how many steps."""

    draws: int = 100_000
    """Steps drawn in the world; what its recipe keeps are the data."""
    dynamics_steps: int = 2000
    """Of the optimiser, for a network of 2 × 64."""
    score_steps: int = 4000
    """The same, for 3 × 128."""
    energy_steps: int = 4000
    """The same, for 3 × 128."""


@dataclass(frozen=True)
class ToyModels:
    """The models of one world."""

    data: Transitions
    """What they were trained on."""
    dynamics: LearnedDynamics
    """One-step model."""
    score: ScoreNetwork
    """Learned gradient of the distance to data."""
    energy: EnergyNetwork
    """Learned distance to data with a value."""
    exact: ExactSmoothedDistance
    """Closed form over all data."""


def train_toy_models(
    world: PlanarWorld, budget: TrainingBudget, sigma_range: SigmaRange, seed: int, folder: Path
) -> ToyModels:
    """Draw the data of a world and train dynamics, score and energy on them, for noise levels in `sigma_range`.

    Each is kept in a folder of its own within `folder`.
    """
    data = _data(world, budget, seed)
    small, large = (64, 64), (128, 128, 128)
    one_step = DynamicsSettings(hidden_sizes=small, steps=budget.dynamics_steps, validate_every=_VALIDATE_EVERY)
    # much data: little weight decay, which would round off the corners
    common: dict[str, Any] = {"hidden_sizes": large, "weight_decay": 0.02, "sigma_range": sigma_range}
    train_dynamics(data, one_step, seed, folder / "dynamics")
    train_score(data, ScoreSettings(steps=budget.score_steps, **common), seed, folder / "score")
    train_energy(data, EnergySettings(steps=budget.energy_steps, **common), seed, folder / "energy")
    return load_toy_models(world, budget, sigma_range, seed, folder)


def load_toy_models(
    world: PlanarWorld, budget: TrainingBudget, sigma_range: SigmaRange, seed: int, folder: Path
) -> ToyModels:
    """Read what `train_toy_models` has kept in a folder; the same arguments give the same data."""
    data = _data(world, budget, seed)
    return ToyModels(
        data,
        load_model_as(LearnedDynamics, folder / "dynamics" / MODEL_FILE),
        load_model_as(ScoreNetwork, folder / "score" / MODEL_FILE),
        load_model_as(EnergyNetwork, folder / "energy" / MODEL_FILE),
        ExactSmoothedDistance(data, sigma_range=sigma_range),
    )


def _data(world: PlanarWorld, budget: TrainingBudget, seed: int) -> Transitions:
    return sample_point_mass_transitions(world, budget.draws, np.random.default_rng(seed))
