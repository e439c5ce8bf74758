"""Distance against likelihood: one gradient, learned by regression of the value or by denoising.

-log p_σ and the softmin energy E = d_σ/σ² differ by log N + log(2πσ²)/2 alone, so that a planner cannot tell them
apart. What is learned differs: a network regressed to E is asked for values everywhere in a box, and its gradient comes
as it may; a denoiser is asked for the gradient where noise can lead.

Source: H. J. T. Suh et al., CoRL 2023, section 3 and its comparison with a learned distance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.data import Normalizer, points_as_transitions
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.models import MLP
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

_UNITS = Normalizer(np.zeros(1), np.ones(1))
_SIGMA_RANGE = (0.1, 0.4)
_COPIES = 400
"""Of every data point in the training of the score, so that none is held out."""


@dataclass(frozen=True)
class LikelihoodSettings:
    """One data set, and how long is learned on it."""

    points: int = 3
    """Number of data points, uniform in [-1, 1]."""
    seed: int = 123
    """Of points and networks."""
    sigma: float = 0.2
    """Noise level, in units of x."""
    steps: int = 2000
    """Of each network."""
    batch: int = 512
    """Fresh points per step of the regression, uniform in [-3, 3], and points per step of the denoiser."""
    hidden_sizes: tuple[int, ...] = (64, 64, 64)
    """Of each network."""
    grid: int = 801
    """Points of the grid on [-2, 2]."""


@dataclass(frozen=True)
class Likelihood:
    """What was found on one data set."""

    x: FloatArray
    """The grid, `(grid,)`."""
    data: FloatArray
    """The data points, `(points,)`."""
    values: Mapping[str, FloatArray]
    """Those that have a value, `(grid,)`."""
    gradients: Mapping[str, FloatArray]
    """Derivatives by x, `(grid,)`."""
    errors: Mapping[str, Mapping[str, float]]
    """Relative error of each gradient against closed form: within 3σ of a data point, and beyond."""


def study_likelihood(settings: LikelihoodSettings) -> Likelihood:
    """Learn on one data set and compare values and gradients on the grid."""
    data = np.sort(np.random.default_rng(settings.seed).uniform(-1.0, 1.0, settings.points))
    x = np.linspace(-2.0, 2.0, settings.grid)
    z = torch.from_numpy(x)[:, None]
    model = exact_model(data)
    energy = model.distance(z, settings.sigma).numpy() / settings.sigma**2
    slope = model.distance_gradient(z, settings.sigma)[:, 0].numpy() / settings.sigma**2
    regressed, regressed_slope = regressed_energy(model, x, settings)
    gradients = {
        "softmin energy": slope,
        "-log p": negative_log_likelihood_slope(data, x, settings.sigma),
        "learned distance": regressed_slope,
        "learned score": score_slope(data, x, settings),
    }
    near = np.abs(x[:, None] - data).min(axis=1) <= 3.0 * settings.sigma
    errors = {
        name: {"within": _relative(gradient, slope, near), "beyond": _relative(gradient, slope, ~near)}
        for name, gradient in gradients.items()
    }
    constant = math.log(settings.points) + 0.5 * math.log(2.0 * math.pi * settings.sigma**2)
    values = {"softmin energy": energy, "-log p": energy + constant, "learned distance": regressed}
    return Likelihood(x, data, values, gradients, errors)


def exact_model(data: FloatArray) -> ExactSmoothedDistance:
    """Return the smoothed distance to points `(points,)` in closed form, in units of x."""
    return ExactSmoothedDistance(points_as_transitions(data[:, None], "toy/points"), _UNITS, sigma_range=_SIGMA_RANGE)


def negative_log_likelihood_slope(data: FloatArray, x: FloatArray, sigma: float) -> FloatArray:
    """Return the derivative of -log p_σ by automatic differentiation of the mixture density itself."""
    place = torch.tensor(x, requires_grad=True)
    squares = (place[:, None] - torch.from_numpy(data)).square()
    density = torch.exp(-0.5 * squares / sigma**2).mean(1) / math.sqrt(2.0 * math.pi * sigma**2)
    (slope,) = torch.autograd.grad(-density.log().sum(), place)
    return slope.numpy()


def regressed_energy(
    model: ExactSmoothedDistance, x: FloatArray, settings: LikelihoodSettings
) -> tuple[FloatArray, FloatArray]:
    """Regress a network to the energy by its mean absolute error; return its values and derivatives on the grid."""
    generator = torch.Generator().manual_seed(settings.seed)
    network = MLP(1, settings.hidden_sizes, 1, generator=generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(settings.steps):
        z = 6.0 * torch.rand((settings.batch, 1), generator=generator) - 3.0
        target = model.distance(z.double(), settings.sigma).float() / settings.sigma**2
        loss = (network(z)[:, 0] - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    place = torch.tensor(x, dtype=torch.float32)[:, None]
    with torch.no_grad():
        return _column(network(place)), _column(network.input_gradient(place))


def score_slope(data: FloatArray, x: FloatArray, settings: LikelihoodSettings) -> FloatArray:
    """Train a score network by denoising and return -score on the grid."""
    copies = points_as_transitions(np.tile(data, _COPIES)[:, None], "toy/copies")
    training = ScoreSettings(
        hidden_sizes=settings.hidden_sizes,
        steps=settings.steps,
        batch_size=settings.batch,
        sigma_range=_SIGMA_RANGE,
        weight_decay=0.0,
    )
    model = train_score(copies, training, settings.seed, normalizer=_UNITS).model
    with torch.no_grad():
        return -_column(model.score(torch.tensor(x, dtype=torch.float32)[:, None], settings.sigma))


def _column(values: Tensor) -> FloatArray:
    return values[:, 0].double().numpy()


def _relative(gradient: FloatArray, exact: FloatArray, where: BoolArray) -> float:
    return float(np.linalg.norm((gradient - exact)[where]) / np.linalg.norm(exact[where]))
