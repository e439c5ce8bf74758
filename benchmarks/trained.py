"""The learned cart-pole that several benchmarks control: dynamics and energy network of the demo's sizes."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.learning import DynamicsSettings, EnergySettings, train_dynamics, train_energy
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics


@dataclass(frozen=True)
class LearnedCartPole:
    """Two models of the same data."""

    dynamics: LearnedDynamics
    energy: EnergyNetwork


@cache
def trained_models(quick: bool = False) -> LearnedCartPole:
    """Train on 10,000 sampled transitions; with `quick`, hardly."""
    data = sample_cartpole_transitions(500 if quick else 10_000, np.random.default_rng(0))
    dynamics, energy = DynamicsSettings(), EnergySettings()
    if quick:
        dynamics = DynamicsSettings(steps=50, validate_every=50, hidden_sizes=(16, 16))
        energy = EnergySettings(steps=50, validate_every=50, hidden_sizes=(16, 16))
    model: LearnedDynamics = train_dynamics(data, dynamics).model
    distance: EnergyNetwork = train_energy(data, energy).model
    return LearnedCartPole(model, distance)
