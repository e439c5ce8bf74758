"""A score of points on a circle: noiseless Langevin steps lead onto it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import sample_circle
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.models import ScoreNetwork
from trajopt_sgp.uncertainty import ExactSmoothedDistance, GradientModel
from trajopt_sgp.uncertainty.sampling import annealed_langevin

RADIUS = 3.0
"""Of the circle."""
SIGMA_RANGE = (0.03, 0.6)
"""Noise levels in normalised units, of which the radius is one."""

_LEVELS = (0.5, 0.25, 0.1, 0.05)
_STEPS = 25


@dataclass(frozen=True)
class CircleModels:
    """The data of a circle, their learned score and their closed form."""

    data: Transitions
    """Points on the circle, without controls."""
    score: ScoreNetwork
    """Learned."""
    exact: ExactSmoothedDistance
    """Closed form."""


def train_circle(points: int = 1000, steps: int = 2000, seed: int = 0) -> CircleModels:
    """Draw points on the circle and train a score network of 3 × 64 on them."""
    data = sample_circle(points, np.random.default_rng(seed), RADIUS)
    settings = ScoreSettings(hidden_sizes=(64, 64, 64), steps=steps, sigma_range=SIGMA_RANGE)
    return CircleModels(
        data, train_score(data, settings, seed).model, ExactSmoothedDistance(data, sigma_range=SIGMA_RANGE)
    )


def land_on_circle(model: GradientModel, chains: int, seed: int) -> Mapping[str, Any]:
    """Climb the density from normal starts without noise and return how far from the circle the points end.

    At each of four falling noise levels 25 steps go half the way to the mean of the data in sight. Distances are in
    units of the radius.
    """
    start = torch.randn((chains, 2), generator=torch.Generator().manual_seed(seed))
    end = annealed_langevin(model, start, _LEVELS, _STEPS, step_size=_LEVELS[-1] ** 2)
    off = (end.norm(dim=-1) - 1.0).abs()
    return {
        "chains": chains,
        "levels": list(_LEVELS),
        "steps": _STEPS * len(_LEVELS),
        "off_start_median": float((start.norm(dim=-1) - 1.0).abs().median()),
        "off_median": float(off.median()),
        "off_max": float(off.max()),
    }
