"""The zero of the distance to data: what a model reads on data it has not seen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from trajopt_sgp.errors import ModelFileError, OptionError

CALIBRATION_QUANTILE = 0.95
"""Share of unseen data whose calibrated length is zero."""
_LEVELS = 16


@dataclass(frozen=True)
class Calibration:
    """Offsets d_sigma^0 on a grid of noise levels with equal ratios; linear in log sigma between them."""

    sigmas: tuple[float, ...]
    """Noise levels, increasing, at least two."""
    offsets: tuple[float, ...]
    """The quantile of the model's distance over unseen, unperturbed data at each level."""
    quantile: float = CALIBRATION_QUANTILE
    """Which quantile, in (0, 1)."""

    def offset(self, sigma: float | Tensor) -> float | Tensor:
        """Return d_sigma^0, constant beyond the grid: a number, or `(...)` for a tensor `()` or `(..., 1)`."""
        if not isinstance(sigma, Tensor):
            return float(self.offset(torch.tensor([sigma], dtype=torch.float64)))
        low, high = math.log(self.sigmas[0]), math.log(self.sigmas[-1])
        last = len(self.sigmas) - 1
        position = ((sigma.log() - low) * (last / (high - low))).clamp(0.0, last)
        # hat functions on the grid: the weights of linear interpolation
        knots = torch.arange(last + 1, dtype=sigma.dtype, device=sigma.device)
        weights = (1.0 - (position - knots).abs()).clamp_min(0.0)
        return (weights * torch.tensor(self.offsets, dtype=sigma.dtype, device=sigma.device)).sum(-1)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"sigmas": list(self.sigmas), "offsets": list(self.offsets), "quantile": self.quantile}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Calibration":
        """Rebuild a calibration from `to_json`.

        Raises:
            ModelFileError: an entry is missing or of the wrong kind.
        """
        try:
            sigmas, offsets = (tuple(map(float, document[name])) for name in ("sigmas", "offsets"))
            return cls(sigmas, offsets, float(document["quantile"]))
        except (KeyError, TypeError, ValueError) as error:
            message = f"A stored calibration needs sigmas, offsets and quantile: {error!r}."
            raise ModelFileError(message) from error


@torch.no_grad()
def calibrate(
    distance: Callable[[Tensor, float], Tensor],
    z: Shaped[Tensor, "points *d"],
    sigma_range: tuple[float, float],
    quantile: float = CALIBRATION_QUANTILE,
) -> Calibration:
    """Measure the offsets of a model on a grid of noise levels.

    Args:
        distance: the model's d_sigma, `((points, d), sigma) -> (points,)`.
        z: unseen, unperturbed data in normalised coordinates, `(points, d)`, or whatever `distance` knows them by.
        sigma_range: ends of the grid.
        quantile: share of `z` that shall read zero.
    """
    levels = torch.linspace(math.log(sigma_range[0]), math.log(sigma_range[1]), _LEVELS, dtype=torch.float64)
    sigmas = tuple(levels.exp().tolist())
    offsets = tuple(float(torch.quantile(distance(z, sigma), quantile)) for sigma in sigmas)
    return Calibration(sigmas, offsets, quantile)


def calibrated_length(
    distance: Float[Tensor, "*batch"], calibration: Calibration | None, sigma: float | Tensor
) -> Float[Tensor, "*batch"]:
    """Return sqrt(2 max(0, distance - offset(sigma))), `(...)`.

    Its derivative grows without bound where the length becomes zero, and is zero where the length is; a solver does
    better with the constraint distance <= offset + length^2 / 2.

    Raises:
        OptionError: there is no calibration.
    """
    if calibration is None:
        raise OptionError("The model is not calibrated: set `calibration`, as train_energy does, to measure lengths.")
    excess = distance - calibration.offset(sigma)
    outside = excess > 0.0
    return torch.where(outside, (2.0 * torch.where(outside, excess, 1.0)).sqrt(), 0.0)
