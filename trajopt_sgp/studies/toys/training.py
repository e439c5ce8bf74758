"""Small models of a toy, all from the same data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import PlanarWorld, sample_point_mass_transitions
from trajopt_sgp.learning import (
    DynamicsSettings,
    EnergySettings,
    ScoreSettings,
    train_dynamics,
    train_energy,
    train_score,
)
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork
from trajopt_sgp.uncertainty import ExactSmoothedDistance


@dataclass(frozen=True)
class TrainingBudget:
    """How much data and how many steps."""

    draws: int = 100_000
    """Steps drawn in the world; what its recipe keeps are the data."""
    dynamics_steps: int = 3000
    """Of the optimiser, for a network of 2 × 64."""
    score_steps: int = 5000
    """The same, for 3 × 128."""
    energy_steps: int = 3000
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
    seconds: Mapping[str, float]
    """Wall time of each training."""


def train_toy_models(
    world: PlanarWorld,
    budget: TrainingBudget,
    sigma_range: tuple[float, float],
    seed: int,
    folder: Path | None = None,
) -> ToyModels:
    """Draw the data of a world and train dynamics, score and energy on them, for noise levels in `sigma_range`.

    With a folder each training is kept there, and not repeated by the next call with the same arguments.
    """
    places = {kind: None if folder is None else folder / kind for kind in ("dynamics", "score", "energy")}
    data = sample_point_mass_transitions(world, budget.draws, np.random.default_rng(seed))
    small, large = (64, 64), (128, 128, 128)
    one_step = DynamicsSettings(hidden_sizes=small, steps=budget.dynamics_steps)
    field = ScoreSettings(hidden_sizes=large, steps=budget.score_steps, sigma_range=sigma_range)
    value = EnergySettings(hidden_sizes=large, steps=budget.energy_steps, sigma_range=sigma_range)
    dynamics = train_dynamics(data, one_step, seed, places["dynamics"])
    score = train_score(data, field, seed, places["score"])
    energy = train_energy(data, value, seed, places["energy"])
    return ToyModels(
        data,
        dynamics.model,
        score.model,
        energy.model,
        ExactSmoothedDistance(data, sigma_range=sigma_range),
        {"dynamics": dynamics.seconds, "score": score.seconds, "energy": energy.seconds},
    )
