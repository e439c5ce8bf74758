"""A score of pictures seen from afar: where their light is, whatever its pixels look like."""

import math
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trajopt_sgp.data import DatasetInfo
from trajopt_sgp.errors import ShapeError

COARSE_SIDE = 8
"""Places along a side at which light is measured, unless told otherwise."""
BLUR = 0.75
"""Standard deviation of the Gaussian that gathers light, as a share of the distance of two places."""

_UNIT = 0.9
_DARK = 1.0


def coarse_picture(
    pictures: Float[Tensor, "*batch pixels"], places: int = COARSE_SIDE
) -> Float[Tensor, "*batch coarse"]:
    """Return how the light of pictures `(..., r²)` is spread over p by p Gaussian windows, `(..., p²)`.

    Two discs that lie apart have no pixel in common however far apart they are, so between pixels a distance soon says
    nothing. These wide windows tell near from far. The sum of the light does not count; one unit is about half the side
    of a picture.

    Raises:
        ShapeError: pictures that are not square.
    """
    side = math.isqrt(pictures.shape[-1])
    if side**2 != pictures.shape[-1]:
        raise ShapeError(f"Pictures are square, (..., r²), not of {pictures.shape[-1]} pixels.")
    pixels = (torch.arange(side, dtype=pictures.dtype, device=pictures.device) + 0.5) / side
    centres = (torch.arange(places, dtype=pictures.dtype, device=pictures.device) + 0.5) / places
    window = torch.exp(-0.5 * ((centres[:, None] - pixels) * (places / BLUR)) ** 2)
    rows = pictures.reshape(*pictures.shape[:-1], side, side)
    light = rows.sum((-2, -1)).clamp_min(_DARK)[..., None]
    gathered: Tensor = (window @ rows @ window.mT).flatten(-2)
    return gathered * (_unit(places) / light)


def coarse_dataset(pictures: DatasetInfo, places: int = COARSE_SIDE) -> DatasetInfo:
    """Return the description of the same data as coarse pictures of p by p windows."""
    dark, bright = (0.0,) * places**2, (_unit(places),) * places**2
    return replace(pictures, state_low=dark, state_high=bright, control_low=dark, control_high=bright)


@runtime_checkable
class CoarseField(Protocol):
    """What a `CoarseScore` asks: a score network, or the exact smoothed distance."""

    dataset: DatasetInfo
    """The data it knows."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level."""

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z of coarse pictures."""

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the gradient of d_sigma with respect to z."""


class CoarseScore(nn.Module):
    """The distance of coarse pictures to those of the data; a gradient model of (x, u), or of (x, u, x').

    Args:
        network: trained on `coarse_picture` of states and controls, or another model of the distance to them.
    """

    def __init__(self, network: CoarseField) -> None:
        super().__init__()
        self.network = network

    @property
    def dataset(self) -> DatasetInfo:
        """The dataset the network is trained on."""
        return self.network.dataset

    @property
    def places(self) -> int:
        """Windows along a side of the coarse pictures that the network knows."""
        return math.isqrt(len(self.dataset.state_low))

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level, in units of coarse pictures."""
        return self.network.sigma_range

    def normalize(
        self, state: Float[Tensor, "*batch pixels"], control: Float[Tensor, "*batch others"]
    ) -> Float[Tensor, "*batch d"]:
        """Return z, coarse and normalised, for pictures of states `(..., r²)`, and of controls `(..., r²)` or [u; x'].

        p² numbers for each picture, `(..., 2r²)` for u and x'; the next state is seen as a change, which noise of the
        state leaves as it is: steps are short, and would be lost in the noise that tells far from near.
        """
        seen, pixels = coarse_picture(state, self.places), state.shape[-1]
        parts = [coarse_picture(control[..., :pixels], self.places)]
        if control.shape[-1] > pixels:
            parts.append(coarse_picture(control[..., pixels:], self.places) - seen)
        return self.network.normalize(seen, torch.cat(parts, dim=-1))

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return the gradient of d_sigma with respect to z."""
        return self.network.distance_gradient(z, sigma)


def _unit(places: int) -> float:
    """Return the factor by which a disc that moves a little by one half side moves about one unit.

    A sum over the windows is an integral: a blurred disc of width b has the norm of its derivative over b.
    """
    spread = 2.0 * BLUR / places
    gathered = places / 2.0 * math.sqrt(math.pi) * spread
    return _UNIT * math.sqrt(2.0) * spread / gathered
