"""The models of the pendulum study, all learned from one set of transitions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajopt_sgp.data import as_triples, triple_normalizer
from trajopt_sgp.envs import sample_pendulum_transitions
from trajopt_sgp.learning import (
    DynamicsSettings,
    EnergySettings,
    ScoreSettings,
    train_dynamics,
    train_energy,
    train_score,
)
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork

TRIPLE_SIGMAS = (0.01, 0.6)
"""Noise levels of the models of (x, u, x'); the lowest decides how exactly a plan keeps the dynamics."""

SHOOTING_FOLDERS = ("dynamics", "score")
"""Names of the folders of the models for shooting."""

_WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class PendulumTraining:
    """What is learned from how much, for how long."""

    transitions: int = 100_000
    """Sampled by the recipe of Suh et al. 2023."""
    seed: int = 0
    """Of data and networks."""
    stretch: float = 4.0
    """α: how much more an error of x' counts than one of x."""
    hidden_sizes: tuple[int, ...] = (192, 192, 192)
    """Of the networks of (x, u, x')."""
    score_steps: int = 12_000
    """Of the score of (x, u, x')."""
    energy_steps: int = 8000
    """Of the energy of (x, u, x')."""
    dynamics_steps: int = 6000
    """Of the dynamics, two layers of 64."""
    shooting_steps: int = 4000
    """Of the score of (x, u), two layers of 128."""


def train_triple_score(settings: PendulumTraining, folder: Path | None = None) -> ScoreNetwork:
    """Train the score of (x, u, x'), resumed from `folder` if there is one."""
    triples = as_triples(sample_pendulum_transitions(settings.transitions, np.random.default_rng(settings.seed)))
    training = ScoreSettings(
        steps=settings.score_steps,
        hidden_sizes=settings.hidden_sizes,
        sigma_range=TRIPLE_SIGMAS,
        weight_decay=_WEIGHT_DECAY,
    )
    normalizer = triple_normalizer(triples, settings.stretch)
    return train_score(triples, training, settings.seed, folder, normalizer=normalizer).model


def train_triple_energy(settings: PendulumTraining, folder: Path | None = None) -> EnergyNetwork:
    """Train the energy of (x, u, x'), resumed from `folder` if there is one."""
    triples = as_triples(sample_pendulum_transitions(settings.transitions, np.random.default_rng(settings.seed)))
    training = EnergySettings(
        steps=settings.energy_steps,
        learning_rate=4e-3,
        hidden_sizes=settings.hidden_sizes,
        sigma_range=TRIPLE_SIGMAS,
        weight_decay=_WEIGHT_DECAY,
    )
    normalizer = triple_normalizer(triples, settings.stretch)
    return train_energy(triples, training, settings.seed, folder, normalizer=normalizer).model


def train_shooting_models(
    settings: PendulumTraining, folder: Path | None = None
) -> tuple[LearnedDynamics, ScoreNetwork]:
    """Train the dynamics and the score of (x, u) from the same data, resumed from `folder` if there is one."""
    data = sample_pendulum_transitions(settings.transitions, np.random.default_rng(settings.seed))
    dynamics = DynamicsSettings(hidden_sizes=(64, 64), steps=settings.dynamics_steps)
    score = ScoreSettings(hidden_sizes=(128, 128), steps=settings.shooting_steps, weight_decay=_WEIGHT_DECAY)
    places = [None if folder is None else folder / name for name in SHOOTING_FOLDERS]
    return (
        train_dynamics(data, dynamics, settings.seed, places[0]).model,
        train_score(data, score, settings.seed, places[1]).model,
    )
