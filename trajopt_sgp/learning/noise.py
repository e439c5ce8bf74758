"""Which noise levels a denoiser is trained at: distributions of sigma, and how errors at each level count."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.models import Denoiser

NoiseDistribution = Callable[[int, torch.Generator], Tensor]
"""Number of data points B and a generator to noise levels: one for each, `(B, 1)`, or several for all, `(J, 1, 1)`."""

_EDM_MEAN, _EDM_DEVIATION = -1.2, 1.2


def log_uniform(sigma_range: tuple[float, float], rows: int, generator: torch.Generator) -> Float[Tensor, "rows 1"]:
    """Return levels whose logarithms are uniform over the range."""
    low, high = map(math.log, sigma_range)
    return torch.exp(low + (high - low) * torch.rand((rows, 1), generator=generator))


def log_normal(sigma_range: tuple[float, float], rows: int, generator: torch.Generator) -> Float[Tensor, "rows 1"]:
    """Return levels whose logarithms are normal with mean -1.2 and deviation 1.2, those within the range alone.

    Source: Karras et al. 2022, table 1.
    """
    ends = torch.special.ndtr((torch.tensor(sigma_range).log() - _EDM_MEAN) / _EDM_DEVIATION)
    shares = torch.lerp(ends[0], ends[1], torch.rand((rows, 1), generator=generator))
    levels: Tensor = (_EDM_MEAN + _EDM_DEVIATION * torch.special.ndtri(shares)).exp()
    return levels.clamp(*sigma_range)


def sampled_level(levels: Sequence[float], rows: int, generator: torch.Generator) -> Float[Tensor, "rows 1"]:
    """Return for each point one of a few levels, all of them as likely."""
    return torch.tensor(levels)[torch.randint(len(levels), (rows, 1), generator=generator)]


def every_level(levels: Sequence[float], rows: int, generator: torch.Generator) -> Float[Tensor, "levels 1 1"]:
    """Return all of a few levels, for every point: the sum over levels of Suh et al. 2023; draws nothing."""
    return torch.tensor(levels)[:, None, None]


NOISES: Mapping[str, Callable[[tuple[float, float], Sequence[float]], NoiseDistribution]] = {
    "log_uniform": lambda sigma_range, levels: partial(log_uniform, sigma_range),
    "log_normal": lambda sigma_range, levels: partial(log_normal, sigma_range),
    "sampled_level": lambda sigma_range, levels: partial(sampled_level, levels),
    "every_level": lambda sigma_range, levels: partial(every_level, levels),
}
"""By name: the range of sigma and a few levels to a distribution over one of them."""


def edm_weight(model: Denoiser, sigma: Tensor) -> Tensor:
    """Return 1 / c_out^2, so that every level counts the same at first (Karras et al. 2022, table 1)."""
    return model.preconditioning.c_out(sigma) ** -2


def sigma2_weight(model: Denoiser, sigma: Tensor) -> Tensor:
    """Return 1 / sigma^2, which is sigma^2 on the error of the score (Song and Ermon 2019; Suh et al. 2023)."""
    return sigma**-2


WEIGHTINGS: Mapping[str, Callable[[Denoiser, Tensor], Tensor]] = {"edm": edm_weight, "sigma2": sigma2_weight}
"""Weights of the squared error of the distance gradient, by name."""
