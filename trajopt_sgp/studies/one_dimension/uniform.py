"""A uniform density: its score learned by denoising, and sampled by Langevin's equation.

Uniform on [-1, 1] and convolved with noise σ, the density is known: p_σ(z) = (Φ((z+1)/σ) - Φ((z-1)/σ))/2.

Source: H. J. T. Suh et al., CoRL 2023, uniform example of their public code.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import kstest, norm
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, points_as_transitions
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.uncertainty.protocols import GradientModel
from trajopt_sgp.uncertainty.sampling import langevin

LOW, HIGH = 3.0, 7.0
"""Ends of the uniform density, in raw units."""
UNITS = Normalizer(np.array([0.5 * (LOW + HIGH)]), np.array([0.5 * (HIGH - LOW)]))
"""Maps them to -1 and 1."""


@dataclass(frozen=True)
class UniformSettings:
    """How a score is learned and sampled."""

    samples: int = 20_000
    """Data points."""
    seed: int = 0
    """Of data, network and chains."""
    sigma: float = 0.1
    """Noise level, in normalised units."""
    hidden_sizes: tuple[int, ...] = (64, 64, 64)
    """Of the network."""
    steps: int = 4000
    """Of its training."""
    chains: int = 10_000
    """Of Langevin sampling, from a standard normal distribution."""
    langevin_steps: int = 5000
    """Steps of every chain; the slowest mode decays in about 8/(π² step_size) of them."""
    step_size: float = 2e-3
    """ε, in squared normalised units."""
    grid: int = 801
    """Points of the grid, from 2.5 σ outside to 2.5 σ outside, on which scores are compared."""


@dataclass(frozen=True)
class UniformSamples:
    """What was found."""

    z: FloatArray
    """The grid in normalised units, `(grid,)`."""
    scores: Mapping[str, FloatArray]
    """Learned and exact score on it."""
    samples: Mapping[str, FloatArray]
    """Ends of the chains in raw units, `(chains,)`, by the score that they followed."""
    numbers: Mapping[str, Mapping[str, float]]
    """For each: mean, variance, distance of Kolmogorov and Smirnov to p_σ, error of the score."""


class ExactUniform:
    """The smoothed distance to a uniform density on [-1, 1], as a model of its gradient."""

    sigma_range = (1e-3, 10.0)

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z for states in raw units, `(..., 1), (..., 0) -> (..., 1)`."""
        return (state - 0.5 * (LOW + HIGH)) / (0.5 * (HIGH - LOW))

    def distance_gradient(self, z: Float[Tensor, "*batch one"], sigma: float | Tensor) -> Float[Tensor, "*batch one"]:
        """Return -σ² d/dz log p_σ, `(..., 1) -> (..., 1)`."""
        left, right = (z + 1.0) / sigma, (z - 1.0) / sigma
        # logarithms of tail probabilities do not cancel far outside: mirrored so that both arguments are in the tail
        left, right = torch.where(z > 0.0, -right, left), torch.where(z > 0.0, -left, right)
        upper, lower = torch.special.log_ndtr(left), torch.special.log_ndtr(right)
        mass = upper + torch.log1p(-torch.exp(lower - upper))
        slopes = [torch.exp(-0.5 * t.square() - mass) for t in (left, right)]
        score = (slopes[0] - slopes[1]) / (sigma * (2.0 * torch.pi) ** 0.5)
        return -(sigma**2) * torch.where(z > 0.0, -score, score)


def smoothed_cdf(z: FloatArray, sigma: float) -> FloatArray:
    """Return the distribution function of p_σ at z: the integral of Φ((t+1)/σ) - Φ((t-1)/σ), halved."""

    def integral(t: FloatArray) -> FloatArray:
        value: FloatArray = t * norm.cdf(t) + norm.pdf(t)
        return value

    cdf: FloatArray = 0.5 * sigma * (integral((z + 1.0) / sigma) - integral((z - 1.0) / sigma))
    return cdf


def smoothed_density(x: FloatArray, sigma: float) -> FloatArray:
    """Return the density p_σ at x in raw units, per raw unit; σ is in normalised units."""
    # on the left side, where the distribution functions do not cancel
    z = -np.abs(UNITS.normalize(x[..., None])[..., 0])
    density: FloatArray = 0.5 * (norm.cdf((z + 1.0) / sigma) - norm.cdf((z - 1.0) / sigma)) / UNITS.scale[0]
    return density


def study_uniform(settings: UniformSettings) -> UniformSamples:
    """Learn the score, run the chains on it and on the exact one, and compare both with p_σ."""
    data = np.random.default_rng(settings.seed).uniform(LOW, HIGH, (settings.samples, 1))
    training = ScoreSettings(
        hidden_sizes=settings.hidden_sizes,
        steps=settings.steps,
        sigma_range=(0.5 * settings.sigma, 2.0 * settings.sigma),
        weight_decay=0.0,
    )
    points = points_as_transitions(data, "toy/uniform")
    learned = train_score(points, training, settings.seed, normalizer=UNITS).model
    models: dict[str, GradientModel] = {"learned": learned, "exact": ExactUniform()}
    edge = 1.0 + 2.5 * settings.sigma
    z = np.linspace(-edge, edge, settings.grid)
    scores = {name: _score(model, z, settings.sigma) for name, model in models.items()}
    ends = {name: _chains(model, settings) for name, model in models.items()}
    numbers = {
        name: {
            "mean": float(UNITS.denormalize(end[:, None]).mean()),
            "variance": float(UNITS.denormalize(end[:, None]).var()),
            "kolmogorov_smirnov": float(kstest(end, lambda z: smoothed_cdf(z, settings.sigma)).statistic),
            "score_error": float(np.linalg.norm(scores[name] - scores["exact"]) / np.linalg.norm(scores["exact"])),
        }
        for name, end in ends.items()
    }
    samples = {name: UNITS.denormalize(end[:, None])[:, 0] for name, end in ends.items()}
    return UniformSamples(z, scores, samples, numbers)


@torch.no_grad()
def _score(model: GradientModel, z: FloatArray, sigma: float) -> FloatArray:
    gradient = model.distance_gradient(torch.tensor(z, dtype=torch.float32)[:, None], sigma)
    return -gradient[:, 0].double().numpy() / sigma**2


def _chains(model: GradientModel, settings: UniformSettings) -> FloatArray:
    generator = torch.Generator().manual_seed(settings.seed)
    start = torch.randn((settings.chains, 1), generator=generator)
    end = langevin(model, start, settings.sigma, settings.langevin_steps, settings.step_size, generator)
    return end[:, 0].double().numpy()
