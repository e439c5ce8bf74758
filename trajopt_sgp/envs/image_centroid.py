"""Where a picture says that its disc is: the centroid of its bright pixels, differentiable."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.errors import ShapeError

THRESHOLD = 0.1
"""Pixels that are no brighter count as dark."""


def image_centroid(images: Float[Tensor, "*batch pixels"], extent: float) -> Float[Tensor, "*batch 2"]:
    """Return the centroids `(..., 2)`, x and y, of pictures `(..., r²)` of the square [-extent, extent]².

    Pixels up to 0.1 are set to zero, all others are clamped to 1 at most. A dark picture
    has its centroid in the middle.

    Source: the image cost of H. J. T. Suh et al., CoRL 2023.

    Raises:
        ShapeError: pictures that are not square.
    """
    side = math.isqrt(images.shape[-1])
    if side**2 != images.shape[-1]:
        raise ShapeError(f"Pictures are square, (..., r²), not of {images.shape[-1]} pixels.")
    bright = torch.where(images > THRESHOLD, images.clamp_max(1.0), 0.0).reshape(*images.shape[:-1], side, side)
    axis = (torch.arange(side, dtype=images.dtype, device=images.device) + 0.5) * (2.0 * extent / side) - extent
    columns, rows = bright.sum(-2), bright.sum(-1)
    # a picture with any light has more than the threshold of it
    light = rows.sum(-1, keepdim=True).clamp_min(THRESHOLD)
    places: Tensor = torch.stack([columns @ axis, rows @ axis], dim=-1) / light
    return places
