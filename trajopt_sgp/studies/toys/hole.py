"""What each uncertainty reads where there are no data, beside the true distance to them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trajopt_sgp.envs.planar_worlds import Point
from trajopt_sgp.learning import EnsembleSettings, LearnedDistanceSettings, train_ensemble, train_learned_distance
from trajopt_sgp.studies.toys.training import ToyModels
from trajopt_sgp.uncertainty import (
    DataDistance,
    EnsembleVariance,
    GaussianProcessVariance,
    NearestDistance,
    compare_lengths,
    measure_calibration,
)

_HELD_OUT = 0.05
_PROCESS_POINTS = 500


def toy_terms(models: ToyModels, sigma: float) -> dict[str, DataDistance]:
    """Return the uncertainties of a toy that have noise levels, at one of them, by name."""
    return {
        "exact smoothed distance": DataDistance(models.exact, sigma=sigma),
        "energy network": DataDistance(models.energy, sigma=sigma),
        "pull of the score, √(2 · residual energy)": DataDistance(models.score, sigma=sigma),
    }


def train_alternatives(models: ToyModels, steps: int, pool: int, seed: int) -> dict[str, DataDistance]:
    """Train the alternatives, which have no noise levels, on the same data; return them by name, in units of length.

    The learned distance is regressed on `pool` points, the Gaussian process knows 500, or `pool` if that is less.
    """
    normalizer, generator = models.exact.normalizer, np.random.default_rng(seed)
    known, unseen = models.data.split(_HELD_OUT, generator)
    small, large = (64, 64), (128, 128, 128)
    members = EnsembleSettings(hidden_sizes=small, steps=steps, validate_every=steps)
    field = LearnedDistanceSettings(hidden_sizes=large, steps=steps, validate_every=steps, pool=pool)
    ensemble = EnsembleVariance(train_ensemble(known, members, seed, normalizer=normalizer).model)
    process = GaussianProcessVariance(known, generator, min(_PROCESS_POINTS, pool), normalizer)
    for model in (ensemble, process):
        model.calibration = measure_calibration(model, known, unseen, torch.Generator().manual_seed(seed))
    learned = train_learned_distance(models.data, field, seed, normalizer=normalizer).model
    return {
        "nearest neighbour": DataDistance(NearestDistance(models.data, normalizer)),
        "ensemble variance": DataDistance(ensemble),
        "Gaussian process": DataDistance(process),
        "learned distance": DataDistance(learned),
    }


def read_in_places(
    models: ToyModels,
    alternatives: Mapping[str, DataDistance],
    places: Mapping[str, Point],
    sigmas: Sequence[float],
) -> list[dict[str, Any]]:
    """Return a row per place and noise level: the distance to the nearest data point, and every reading.

    Args:
        models: give data and normalisation.
        alternatives: uncertainties without noise levels, by name.
        places: positions by name, in raw units; the control is zero.
        sigmas: noise levels.
    """
    states = torch.tensor(list(places.values()), dtype=torch.float64)
    rows: list[dict[str, Any]] = []
    for sigma in sigmas:
        terms = {**toy_terms(models, sigma), **alternatives}
        found = compare_lengths(terms, models.data, states, torch.zeros_like(states))
        rows += [
            {"place": place, "sigma": sigma, "nearest_data_point": row.nearest, "readings": dict(row.lengths)}
            for place, row in zip(places, found, strict=True)
        ]
    return rows
