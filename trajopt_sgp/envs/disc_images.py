"""Images of a disc: how a point of the plane looks to a camera from above, as by the pipeline of the source, but fast.

Source of the pipeline: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, pixel-space experiment.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # loads its filters when they are first used, which takes a tenth of a second
import torch
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.arrays import IntArray
from trajopt_sgp.errors import OptionError, ShapeError

Images = NDArray[np.float32]

RESOLUTIONS = (16, 32, 64)
"""Pixels along a side that images may have."""

_OVERSAMPLING = 10
_DISC_RADIUS = 0.05
_BLUR_RADIUS = 1.0 / 32.0
_FLOOR = 1e-3


@dataclass(frozen=True)
class DiscImages:
    """A camera that sees the square [-extent, extent]², x along columns and y along rows.

    A disc whose radius is a twentieth of the picture is filled on a canvas of ten times the resolution, its centre
    rounded to a corner of canvas pixels; blurred by a box that reaches 1/32 of the picture to each side; reduced by an
    antialiased bicubic kernel; and divided by the largest value in the picture, or by 0.001 where that is larger. What
    lies outside the picture is dark, and there is no frame: the disc leaves the picture as it moves out.

    Raises:
        OptionError: a resolution that is not in `RESOLUTIONS`, or an extent that is not positive.
    """

    resolution: int
    """Pixels along a side r."""
    extent: float
    """Half the side of the square that is seen."""

    def __post_init__(self) -> None:
        if self.resolution not in RESOLUTIONS:
            raise OptionError(f"resolution = {self.resolution}: choose from {', '.join(map(str, RESOLUTIONS))}.")
        if not 0.0 < self.extent < math.inf:
            raise OptionError(f"extent = {self.extent}: it must be positive.")

    @property
    def size(self) -> int:
        """Number of pixels r² of a picture."""
        return self.resolution**2

    def render(self, points: ArrayLike) -> Images:
        """Return pictures `(..., r²)`, row by row, in [0, 1], of discs at `points` `(..., 2)`.

        Raises:
            ShapeError: points are no pairs.
        """
        corner = self._canvas_corners(points)
        shift, phase = np.divmod(corner.reshape(-1, 2), _OVERSAMPLING)
        count, side, reach = len(shift), self.resolution, self._reach
        wide = np.zeros((count, (side + 2 * self._margin) ** 2), dtype=np.float32)
        first = (shift[:, 1] - reach + self._margin) * (side + 2 * self._margin) + shift[:, 0] - reach + self._margin
        within = np.arange(2 * reach + 1)
        offsets = (within[:, None] * (side + 2 * self._margin) + within).ravel()
        np.put_along_axis(wide, first[:, None] + offsets, self._stamps[phase[:, 1], phase[:, 0]], axis=1)
        seen = slice(self._margin, self._margin + side)
        pictures = wide.reshape(count, side + 2 * self._margin, -1)[:, seen, seen].reshape(count, -1)
        pictures /= np.maximum(pictures.max(axis=1, keepdims=True), np.float32(_FLOOR))
        return pictures.reshape(*corner.shape[:-1], self.size)

    def _canvas_corners(self, points: ArrayLike) -> IntArray:
        """Return the canvas column and row of centres `(..., 2)`; a disc out of sight stays just out of sight."""
        places = np.asarray(points, dtype=np.float64)
        if places.shape[-1:] != (2,):
            raise ShapeError(f"Discs are drawn at points (..., 2), not {places.shape}.")
        canvas, beyond = self.resolution * _OVERSAMPLING, (self._reach + 1) * _OVERSAMPLING
        corners = np.rint((places + self.extent) / (2.0 * self.extent) * canvas)
        return np.clip(corners, -beyond, canvas + beyond).astype(np.int64)

    def _reduced(self, canvas: int, column: int, row: int) -> Images:
        """Return a square canvas with a disc at a corner of its pixels, blurred and reduced, before division."""
        middles = np.arange(canvas) + 0.5
        radius = _DISC_RADIUS * self.resolution * _OVERSAMPLING
        filled = (middles - column) ** 2 + ((middles - row) ** 2)[:, None] <= radius**2
        blurred = scipy.ndimage.uniform_filter(filled.astype(np.float64), 2 * self._blur + 1, mode="constant")
        size = (canvas // _OVERSAMPLING,) * 2
        reduced = torch.nn.functional.interpolate(
            torch.from_numpy(blurred)[None, None], size, mode="bicubic", antialias=True, align_corners=False
        )
        drawn: Images = reduced[0, 0].clamp_min(0.0).numpy().astype(np.float32)
        return drawn

    @property
    def _blur(self) -> int:
        """Reach of the box on the canvas."""
        return round(_BLUR_RADIUS * self.resolution * _OVERSAMPLING)

    @property
    def _reach(self) -> int:
        """Pixels from the one that holds the centre to the last that is lit: radius, blur and kernel."""
        return math.ceil(_DISC_RADIUS * self.resolution + self._blur / _OVERSAMPLING + 2.0) + 1

    @property
    def _margin(self) -> int:
        """Dark pixels around the picture in which a disc that is out of sight finds room."""
        return 2 * self._reach + 2

    @cached_property
    def _stamps(self) -> Images:
        """Lit pixels around the centre for its ten by ten places within a pixel, `(10, 10, (2 reach + 1)²)`."""
        # the kernel of the reduction is the same everywhere but at the edges of the canvas, where all is dark
        middle, width = self._reach + 4, 2 * self._reach + 1
        canvas, first = (2 * middle + 1) * _OVERSAMPLING, middle * _OVERSAMPLING
        stamps = np.empty((_OVERSAMPLING, _OVERSAMPLING, width**2), dtype=np.float32)
        for row in range(_OVERSAMPLING):
            for column in range(_OVERSAMPLING):
                drawn = self._reduced(canvas, first + column, first + row)
                stamps[row, column] = drawn[4:-4, 4:-4].ravel()
        return stamps
