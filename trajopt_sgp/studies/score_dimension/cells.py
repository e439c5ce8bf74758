"""The cells: a family of data, a dimension, a size and an estimator; errors at each noise level and place."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, points_as_transitions
from trajopt_sgp.learning import EnergySettings, ScoreSettings, train_energy, train_score
from trajopt_sgp.models import Denoiser
from trajopt_sgp.studies.runner import CellContext, StudyCell
from trajopt_sgp.studies.score_dimension.truths import FAMILIES, Truth, make_truth
from trajopt_sgp.studies.statistics import bootstrap
from trajopt_sgp.uncertainty.validation import weighted_mean

Gradient = Callable[[FloatArray, float], FloatArray]

DIMENSIONS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
SIGMAS = (0.05, 0.1, 0.2, 0.4)
ESTIMATORS = ("score", "energy", "exact")
PLACES = ("noisy", "on the data", "away")
"""Where errors are measured: data with noise sigma, as in training; data themselves; one unit away from data."""

_SIZE, _OTHER_SIZES = 10_000, (1_000, 100_000)
_SPARSE_DIMENSIONS = (2, 8, 32, 128, 512)
_SEED_DIMENSIONS, _OTHER_SEEDS = (8, 128), (1, 2)
_QUERIES = 512


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells: every dimension at 10,000 points, some with other sizes, some with other seeds."""
    if reduced:
        choices = [(family, 4, 200, 0) for family in FAMILIES]
    else:
        choices = [(family, d, _SIZE, 0) for family in FAMILIES for d in DIMENSIONS]
        choices += [(family, d, n, 0) for family in FAMILIES for d in _SPARSE_DIMENSIONS for n in _OTHER_SIZES]
        choices += [(family, d, _SIZE, k) for family in FAMILIES for d in _SEED_DIMENSIONS for k in _OTHER_SEEDS]
    return [_cell(estimator, *choice, reduced) for choice in choices for estimator in ESTIMATORS]


def _cell(estimator: str, family: str, dimension: int, size: int, seed: int, reduced: bool) -> StudyCell:
    settings = {
        "family": family,
        "dimension": dimension,
        "size": size,
        "seed": seed,
        "estimator": estimator,
        "steps": 20 if reduced else None,
        "queries": 32 if reduced else _QUERIES,
    }
    return StudyCell(f"{family} d={dimension} N={size} seed={seed} {estimator}", measure, settings)


def measure(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Sample data, make the estimator, and return its errors by noise level and place."""
    seeds = np.random.SeedSequence([settings["seed"], settings["dimension"], FAMILIES.index(settings["family"])])
    shape, data, queries = (np.random.default_rng(child) for child in seeds.spawn(3))
    truth = make_truth(settings["family"], settings["dimension"], shape)
    estimate = make_estimator(settings, truth.sample(settings["size"], data))
    fresh = truth.sample(settings["queries"], queries)
    errors = [
        _errors(truth, estimate, _query(place, fresh, sigma, queries), sigma, place, queries)
        for sigma in SIGMAS
        for place in PLACES
    ]
    return {"errors": errors}


def make_estimator(settings: Mapping[str, Any], points: FloatArray) -> Gradient:
    """Return an estimate of the gradient from data `(N, d)`: learned, or the closed form over the data."""
    if settings["estimator"] == "exact":
        data = torch.from_numpy(points)
        return lambda z, sigma: z - weighted_mean(torch.from_numpy(z), data, sigma).numpy()
    model = _train(settings, points)

    def gradient(z: FloatArray, sigma: float) -> FloatArray:
        with torch.no_grad():
            found = model.distance_gradient(torch.from_numpy(z).float(), sigma)
        return found.double().numpy()

    return gradient


def _train(settings: Mapping[str, Any], points: FloatArray) -> Denoiser:
    dimension, seed = points.shape[1], settings["seed"]
    # noise has the size of sigma in the coordinates of the truth: nothing is scaled
    normalizer = Normalizer(np.zeros(dimension), np.ones(dimension))
    data = points_as_transitions(points, "study/points-v0")
    if settings["estimator"] == "energy":
        energy = _shortened(EnergySettings(), settings["steps"])
        return train_energy(data, energy, seed, normalizer=normalizer).model
    score = _shortened(ScoreSettings(), settings["steps"])
    return train_score(data, score, seed, normalizer=normalizer).model


def _shortened(settings: Any, steps: int | None) -> Any:
    return settings if steps is None else replace(settings, steps=steps, validate_every=steps, warmup_steps=1)


def _query(place: str, fresh: FloatArray, sigma: float, generator: np.random.Generator) -> FloatArray:
    noise = generator.normal(size=fresh.shape)
    if place == "noisy":
        return fresh + sigma * noise
    away = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return fresh + away if place == "away" else fresh


def _errors(
    truth: Truth, estimate: Gradient, z: FloatArray, sigma: float, place: str, generator: np.random.Generator
) -> dict[str, Any]:
    exact = truth.gradient(z, sigma)
    squares = np.stack([np.square(estimate(z, sigma) - exact).sum(1), np.square(exact).sum(1)], axis=-1)
    relative = bootstrap(squares, generator, _root_ratio)
    length = bootstrap(np.sqrt(squares[:, 0]), generator)
    return {
        "sigma": sigma,
        "place": place,
        "relative_error": relative.value,
        "relative_error_interval": [relative.low, relative.high],
        "median_error_length": length.value,
        "median_true_length": float(np.median(np.sqrt(squares[:, 1]))),
    }


def _root_ratio(samples: FloatArray) -> FloatArray:
    """Return the root of the summed squared errors over the summed squares of the truth, `(s, n, 2) -> (s,)`."""
    sums = samples.sum(axis=1)
    return np.asarray(np.sqrt(sums[:, 0] / sums[:, 1]))
