"""How a denoising network is scaled for every noise level, so that one network serves them all.

Source: T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the Design Space of Diffusion-Based Generative Models,
NeurIPS 2022, table 1: the denoiser is D(z, sigma) = c_skip z + c_out F(c_in z, c_noise).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.errors import OptionError, ShapeError

# A bound that was rounded to float32 is still inside.
_SLACK = 1e-6


@dataclass(frozen=True)
class Preconditioning:
    """The coefficients of the denoiser, with the names of the paper; sigma is positive, in normalised units."""

    sigma_range: tuple[float, float]
    """Smallest and largest noise level the network is trained for; equal for a network of a single level."""
    sigma_data: float
    """Root mean square of the normalised data."""

    def __post_init__(self) -> None:
        check_sigma_range(self.sigma_range)
        if not 0.0 < self.sigma_data < math.inf:
            raise OptionError(f"sigma_data = {self.sigma_data}: it must be positive.")

    def c_skip(self, sigma: Tensor) -> Tensor:
        """Return how much of the input the denoiser keeps."""
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def pull(self, sigma: Tensor) -> Tensor:
        """Return 1 - c_skip, free of cancellation at small sigma."""
        return sigma**2 / (sigma**2 + self.sigma_data**2)

    def c_out(self, sigma: Tensor) -> Tensor:
        """Return the scale of the network's output."""
        return sigma * self.sigma_data * self.c_in(sigma)

    def c_in(self, sigma: Tensor) -> Tensor:
        """Return the scale of the network's input, which gives it unit variance."""
        return (sigma**2 + self.sigma_data**2).rsqrt()

    def c_noise(self, sigma: Float[Tensor, "*batch one"]) -> Float[Tensor, "*batch features"]:
        """Return what the network is told of sigma `(..., 1)`: features `(..., 4)` of its logarithm and itself."""
        low, high = map(math.log, self.sigma_range)
        # a single level is the middle of its range
        level = (2.0 * sigma.log() - (low + high)) / ((high - low) or 1.0)
        waves = (0.5 * math.pi) * level
        return torch.cat((level, waves.sin(), waves.cos(), sigma), dim=-1)

    def inputs(self, z: Float[Tensor, "*batch d"], sigma: Tensor) -> Float[Tensor, "*batch inputs"]:
        """Return the network's inputs `(..., d + 4)`: c_in z and c_noise; sigma as `as_sigma` returns it."""
        features = self.c_noise(sigma.reshape(1) if sigma.ndim == 0 else sigma)
        return torch.cat((self.c_in(sigma) * z, features.expand(*z.shape[:-1], NOISE_FEATURES)), dim=-1)


NOISE_FEATURES = 4
"""Number of features that `c_noise` returns; the last is sigma itself."""
DEFAULT_LEVELS = 10
"""Number of noise levels where none are given, as in Suh et al. 2023."""


def check_sigma_range(sigma_range: object) -> None:
    """Check that a range of noise levels is one.

    Raises:
        OptionError: it is not two positive finite numbers, the second at least the first.
    """
    pair = tuple(sigma_range) if isinstance(sigma_range, Iterable) else ()
    if not (len(pair) == 2 and 0.0 < pair[0] <= pair[1] < math.inf):
        raise OptionError(
            f"sigma_range = {sigma_range}: it must be two positive numbers that do not decrease, the same twice for a "
            "single noise level."
        )


def noise_levels(levels: Sequence[float], sigma_range: tuple[float, float]) -> tuple[float, ...]:
    """Return noise levels in increasing order; where none are given, ten with equal ratios over the range.

    Raises:
        OptionError: a level outside the range, or given twice.
    """
    low, high = sigma_range
    if not levels:
        count = DEFAULT_LEVELS if low < high else 1
        levels = [low * (high / low) ** (j / max(1, count - 1)) for j in range(count)]
    ordered = tuple(sorted(map(float, levels)))
    for level in ordered:
        check_sigma(level, sigma_range)
    if len(set(ordered)) < len(ordered):
        raise OptionError(f"levels = {ordered}: every noise level may be given once only.")
    return ordered


def check_sigma(sigma: float, sigma_range: tuple[float, float]) -> None:
    """Check that a noise level lies in a range.

    Raises:
        OptionError: it does not, or is NaN.
    """
    low, high = sigma_range
    if not low * (1.0 - _SLACK) <= sigma <= high * (1.0 + _SLACK):
        raise OptionError(f"sigma = {sigma} lies outside the model's range [{low}, {high}].")


def as_sigma(sigma: float | Tensor, z: Tensor, sigma_range: tuple[float, float]) -> Tensor:
    """Return sigma as a tensor that multiplies z `(..., d)`.

    Raises:
        OptionError: a number outside `sigma_range` (tensors are not looked into).
        ShapeError: a tensor that is neither 0-dimensional nor of shape `(..., 1)`.
    """
    if isinstance(sigma, Tensor):
        if sigma.ndim > 0 and sigma.shape[-1] != 1:
            raise ShapeError(f"sigma must be a number or a tensor () or (..., 1), not {tuple(sigma.shape)}.")
        return sigma.to(z)
    check_sigma(sigma, sigma_range)
    return torch.full((), sigma, dtype=z.dtype, device=z.device)
