"""Which uncertainties are never small where a model is wrong, and lead back to the data when one descends them.

The truth is x² sin x, known at three points. An ensemble of networks and a Gaussian process measure uncertainty by the
variance of predictions, the smoothed distance by how far the data are.

Source: H. J. T. Suh et al., CoRL 2023, figure of uncertainties in one dimension.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, points_as_transitions
from trajopt_sgp.models import MLP
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

_ROUNDING = 1e-6
"""Share of its range below which an uncertainty is rounding error."""


@dataclass(frozen=True)
class AdmissibilitySettings:
    """One data set, and what is compared on it."""

    points: int = 3
    """Number of data points, uniform in [-1, 1]."""
    seed: int = 0
    """Of points, networks and starts."""
    members: int = 3
    """Networks in the ensemble."""
    width: int = 64
    """Of the two hidden layers of each."""
    steps: int = 600
    """Of Adam on all points at once."""
    sigma: float = 0.1
    """Of the smoothed distance, in units of x."""
    grid: int = 2001
    """Points of the grid on [-2, 2]."""
    small: float = 0.05
    """An uncertainty is small where it exceeds its largest value at data by less than this share of its range."""
    wrong: float = 0.1
    """A prediction is wrong where its error exceeds this share of the largest true value on the grid."""
    starts: int = 100
    """Of gradient descent, uniform on the grid."""
    near: float = 0.05
    """How near to a data point a descent has arrived."""


@dataclass(frozen=True)
class Curve:
    """A model and its uncertainty on the grid."""

    prediction: FloatArray
    """What the model says, `(grid,)`."""
    uncertainty: FloatArray
    """A length in x or a standard deviation of predictions, `(grid,)`."""


@dataclass(frozen=True)
class Admissibility:
    """What was found on one data set."""

    x: FloatArray
    """The grid, `(grid,)`."""
    data: FloatArray
    """The data points, `(points,)`."""
    curves: Mapping[str, Curve]
    """By name of the uncertainty."""
    numbers: Mapping[str, Mapping[str, float]]
    """For each: share of the grid where it underestimates, factor it needs to bound the error, share of stable
    descents."""


def truth(x: FloatArray) -> FloatArray:
    """Return x² sin x."""
    return x * x * np.sin(x)


def study_admissibility(settings: AdmissibilitySettings) -> Admissibility:
    """Fit the models to one data set and measure their uncertainties on the grid."""
    rng = np.random.default_rng(settings.seed)
    data = np.sort(rng.uniform(-1.0, 1.0, settings.points))
    starts = rng.uniform(-2.0, 2.0, settings.starts)
    x = np.linspace(-2.0, 2.0, settings.grid)
    ensemble = ensemble_curve(data, x, settings)
    curves = {
        "ensemble": ensemble,
        "Gaussian process": process_curve(data, x),
        "smoothed distance": Curve(ensemble.prediction, smoothed_length(data, x, settings.sigma)),
    }
    numbers = {name: _measure(curve, x, data, starts, settings) for name, curve in curves.items()}
    return Admissibility(x, data, curves, numbers)


def ensemble_curve(data: FloatArray, x: FloatArray, settings: AdmissibilitySettings) -> Curve:
    """Return mean and standard deviation (with K - 1) of networks that differ in their initial weights."""
    inputs, targets = (torch.tensor(v, dtype=torch.float32)[:, None] for v in (data, truth(data)))
    grid = torch.tensor(x, dtype=torch.float32)[:, None]
    outputs = []
    for member in range(settings.members):
        generator = torch.Generator().manual_seed(1000 * settings.seed + member)
        network = MLP(1, (settings.width, settings.width), 1, generator=generator)
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(settings.steps):
            loss = (network(inputs) - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            outputs.append(network(grid)[:, 0].double().numpy())
    return Curve(np.mean(outputs, axis=0), np.std(outputs, axis=0, ddof=1))


def process_curve(data: FloatArray, x: FloatArray) -> Curve:
    """Return mean and standard deviation of a Gaussian process whose scales are fitted by likelihood."""
    # scikit-learn is needed by this comparison alone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    kernel = ConstantKernel(1.0) * RBF(length_scale=0.5, length_scale_bounds=(0.1, 10.0))
    process = GaussianProcessRegressor(kernel, normalize_y=False, random_state=0)
    with warnings.catch_warnings():
        # three points may ask for a length outside the bounds; the bound is then what is meant
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(data[:, None], truth(data))
    mean, deviation = process.predict(x[:, None], return_std=True)
    return Curve(mean, deviation)


def smoothed_length(data: FloatArray, x: FloatArray, sigma: float) -> FloatArray:
    """Return the smoothed distance as a length, √(2 (d_σ + σ² log N)), in units of x.

    It is never below the distance to the nearest of the N points, so that a Lipschitz constant of the error bounds it.
    """
    model = ExactSmoothedDistance(
        points_as_transitions(data[:, None], "toy/points"), Normalizer(np.zeros(1), np.ones(1)), sigma_range=(0.01, 1.0)
    )
    distance = model.distance(torch.from_numpy(x)[:, None], sigma).numpy()
    length: FloatArray = np.sqrt(2.0 * (distance + sigma**2 * np.log(len(data))))
    return length


def descend(values: FloatArray, start: int) -> int:
    """Return the index where descent in the smallest steps from grid index `start` ends: a local minimum."""
    here = start
    while True:
        around = [i for i in (here - 1, here + 1) if 0 <= i < len(values)]
        lower = min(around, key=lambda i: float(values[i]))
        if not values[lower] < values[here]:
            return here
        here = lower


def _measure(
    curve: Curve, x: FloatArray, data: FloatArray, starts: FloatArray, settings: AdmissibilitySettings
) -> dict[str, float]:
    uncertainty, error = curve.uncertainty, np.abs(curve.prediction - truth(x))
    at_data = float(np.interp(data, x, uncertainty).max())
    small = uncertainty < at_data + settings.small * np.ptp(uncertainty)
    wrong = error > settings.wrong * np.abs(truth(x)).max()
    bound = np.maximum(uncertainty, _ROUNDING * np.ptp(uncertainty))
    # where the error is rounding, and the grid beside a data point, no factor is asked for
    away = np.abs(x[:, None] - data).min(axis=1) > settings.near
    ends = x[[descend(uncertainty, int(np.abs(x - start).argmin())) for start in starts]]
    return {
        "underestimated": float((small & wrong).mean()),
        "factor": float((error[away] / bound[away]).max()),
        "stable": float((np.abs(ends[:, None] - data).min(axis=1) <= settings.near).mean()),
    }
