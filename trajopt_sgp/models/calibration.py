"""Zero and unit of the distance to data: what a model reads on data it has not seen, and off them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from trajopt_sgp.errors import ModelFileError, OptionError

CALIBRATION_QUANTILE = 0.95
"""Share of unseen data whose calibrated length is zero."""
NOT_CALIBRATED = (
    "is not calibrated and has no lengths: set `calibration`, as measure_calibration and train_energy do. Exact "
    "distances calibrate themselves on two data points or more."
)
"""What is wrong with a model, after its name, and what to do."""
_LEVELS = 16


@dataclass(frozen=True)
class Calibration:
    """Offsets d_sigma^0 on a grid of noise levels with equal ratios, linear in log sigma between them; and a gain.

    The calibrated length is gain sqrt(2 max(0, d_sigma - d_sigma^0)). A model without noise levels has one offset.
    """

    sigmas: tuple[float, ...]
    """Noise levels, increasing; none for a model without noise levels."""
    offsets: tuple[float, ...]
    """The quantile of the model's distance over unseen, unperturbed data at each level."""
    quantile: float = CALIBRATION_QUANTILE
    """Which quantile, in (0, 1)."""
    gain: float = 1.0
    """Unit of length of a model whose value is no squared distance, from `measure_gain`; 1 for those that are."""

    def offset(self, sigma: float | Tensor) -> float | Tensor:
        """Return d_sigma^0, constant beyond the grid: a number, or `(...)` for a tensor `()` or `(..., 1)`."""
        if not self.sigmas:
            return self.offsets[0]
        if not isinstance(sigma, Tensor):
            return float(self.offset(torch.tensor([sigma], dtype=torch.float64)))
        low, high = math.log(self.sigmas[0]), math.log(self.sigmas[-1])
        last = len(self.sigmas) - 1
        position = ((sigma.log() - low) * (last / ((high - low) or 1.0))).clamp(0.0, last)
        # hat functions on the grid: the weights of linear interpolation
        knots = torch.arange(last + 1, dtype=sigma.dtype, device=sigma.device)
        weights = (1.0 - (position - knots).abs()).clamp_min(0.0)
        return (weights * torch.tensor(self.offsets, dtype=sigma.dtype, device=sigma.device)).sum(-1)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        lists = {"sigmas": list(self.sigmas), "offsets": list(self.offsets)}
        return {**lists, "quantile": self.quantile, "gain": self.gain}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Calibration":
        """Rebuild a calibration from `to_json`; without a gain it is 1.

        Raises:
            ModelFileError: an entry is missing or of the wrong kind.
        """
        try:
            sigmas, offsets = (tuple(map(float, document[name])) for name in ("sigmas", "offsets"))
            return cls(sigmas, offsets, float(document["quantile"]), float(document.get("gain", 1.0)))
        except (KeyError, TypeError, ValueError) as error:
            message = f"A stored calibration needs sigmas, offsets and quantile: {error!r}."
            raise ModelFileError(message) from error


@torch.no_grad()
def calibrate(
    distance: Callable[[Tensor, float], Tensor],
    z: Shaped[Tensor, "points *d"],
    sigma_range: tuple[float, float] | None,
    quantile: float = CALIBRATION_QUANTILE,
) -> Calibration:
    """Measure the offsets of a model on a grid of noise levels, or its one offset.

    Args:
        distance: the model's d_sigma, `((points, d), sigma) -> (points,)`.
        z: unseen, unperturbed data in normalised coordinates, `(points, d)`, or whatever `distance` knows them by.
        sigma_range: ends of the grid, which has a single level where they are equal; None for a model without noise
            levels, whose sigma is 0.
        quantile: share of `z` that shall read zero.

    Raises:
        OptionError: the quantile is not between 0 and 1.
    """
    if not 0.0 < quantile < 1.0:
        raise OptionError(f"quantile = {quantile}: it must lie between 0 and 1.")
    if sigma_range is None:
        return Calibration((), (float(torch.quantile(distance(z, 0.0), quantile)),), quantile)
    low, high = map(math.log, sigma_range)
    levels = torch.linspace(low, high, _LEVELS if low < high else 1, dtype=torch.float64)
    sigmas = tuple(levels.exp().tolist())
    offsets = tuple(float(torch.quantile(distance(z, sigma), quantile)) for sigma in sigmas)
    return Calibration(sigmas, offsets, quantile)


@torch.no_grad()
def measure_gain(
    distance: Callable[[Tensor, float], Tensor],
    calibration: Calibration,
    moved: Float[Tensor, "points d"],
    lengths: Float[Tensor, " points"],
) -> Calibration:
    """Return the calibration with the gain at which points off the data read their true distance, in the median.

    Args:
        distance: the d_sigma of a model without noise levels, `((points, d), 0) -> (points,)`.
        calibration: holds the offsets.
        moved: points off the data, in normalised coordinates.
        lengths: how far each is from the data, positive.

    Raises:
        OptionError: more than half of the points read zero: this model does not tell them from data.
    """
    readings = (2.0 * (distance(moved, 0.0) - calibration.offset(0.0)).clamp_min(0.0)).sqrt()
    median = float(torch.quantile(readings / lengths, 0.5))
    if not median > 0.0:
        raise OptionError(
            "The model reads zero on more than half of the points off the data, so no gain makes it a length: it is "
            "blind there, or trained too little, or the points are too near."
        )
    return replace(calibration, gain=1.0 / median)


def calibrated_length(
    distance: Float[Tensor, "*batch"], calibration: Calibration | None, sigma: float | Tensor
) -> Float[Tensor, "*batch"]:
    """Return gain sqrt(2 max(0, distance - offset(sigma))), `(...)`.

    Its derivative grows without bound where the length becomes zero, and is zero where the length is; a solver does
    better with the constraint distance <= offset + length^2 / 2.

    Raises:
        OptionError: there is no calibration.
    """
    if calibration is None:
        raise OptionError(f"The model {NOT_CALIBRATED}")
    excess = distance - calibration.offset(sigma)
    outside = excess > 0.0
    return torch.where(outside, calibration.gain * (2.0 * torch.where(outside, excess, 1.0)).sqrt(), 0.0)
