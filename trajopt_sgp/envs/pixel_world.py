"""The single integrator in pixels: a point that moves by its control, both of them seen as pictures only.

Source of the recipe: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, pixel-space experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.envs.disc_images import DiscImages, Images
from trajopt_sgp.envs.image_centroid import image_centroid
from trajopt_sgp.envs.planar_worlds import SquareWithHole
from trajopt_sgp.errors import OptionError, ShapeError


@dataclass(frozen=True)
class PixelWorld:
    """x' = x + u for a point in the plane, or on its horizontal axis; pictures of r by r pixels of x and of u.

    Raises:
        OptionError: a resolution that there is not, another dimension than 1 or 2, or a number that is not positive.
    """

    resolution: int = 32
    """Pixels along a side r of all pictures: 16, 32 or 64."""
    dimension: int = 2
    """Of the space in which the point moves: 2, or 1 along the horizontal axis, where no way leads around the hole."""
    half_side: float = 1.0
    """Half the side of the square in which states of the data lie."""
    hole: float = 0.4
    """Radius of the hole in the middle of the data."""
    control_limit: float = 0.1
    """Largest magnitude of each coordinate of a control in the data."""

    def __post_init__(self) -> None:
        if self.dimension not in (1, 2):
            raise OptionError(f"dimension = {self.dimension}: a point on a picture moves in 1 or 2 dimensions.")
        for name in ("half_side", "hole", "control_limit"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise OptionError(f"{name} = {getattr(self, name)}: it must be positive.")
        if self.hole >= self.half_side:
            raise OptionError(f"hole = {self.hole}: it must be smaller than half the side, {self.half_side}.")
        self.state_images.size  # noqa: B018 (a resolution that there is not is refused now)

    @property
    def state_images(self) -> DiscImages:
        """The camera of states, which sees 1.2 times the square."""
        return DiscImages(self.resolution, 1.2 * self.half_side)

    @property
    def control_images(self) -> DiscImages:
        """The camera of controls, which sees three times their range."""
        return DiscImages(self.resolution, 3.0 * self.control_limit)

    @property
    def region(self) -> SquareWithHole:
        """Where states of the data lie."""
        return SquareWithHole(self.half_side, self.hole)

    def contains(self, positions: ArrayLike) -> BoolArray:
        """Return whether positions `(..., dimension)` lie in the region of the data, `(...)`."""
        return self.region.contains(self._in_plane(positions))

    def state_picture(self, positions: ArrayLike) -> Images:
        """Return the pictures `(..., r²)` of states at `positions` `(..., dimension)`."""
        return self.state_images.render(self._in_plane(positions))

    def control_picture(self, steps: ArrayLike) -> Images:
        """Return the pictures `(..., r²)` of controls that move the point by `steps` `(..., dimension)`."""
        return self.control_images.render(self._in_plane(steps))

    def decode_state(self, pictures: ArrayLike) -> FloatArray:
        """Return the position `(..., dimension)` that pictures of states `(..., r²)` show."""
        return self._decode(pictures, self.state_images)

    def decode_control(self, pictures: ArrayLike) -> FloatArray:
        """Return the step `(..., dimension)` that pictures of controls `(..., r²)` mean."""
        return self._decode(pictures, self.control_images)

    def _decode(self, pictures: ArrayLike, camera: DiscImages) -> FloatArray:
        values = torch.from_numpy(np.array(pictures, dtype=np.float64))
        places: FloatArray = image_centroid(values, camera.extent).numpy()
        return places[..., : self.dimension]

    def _in_plane(self, places: ArrayLike) -> FloatArray:
        points = np.asarray(places, dtype=np.float64)
        if points.shape[-1:] != (self.dimension,):
            raise ShapeError(f"Places of this world are (..., {self.dimension}), not {points.shape}.")
        missing = [(0, 0)] * (points.ndim - 1) + [(0, 2 - self.dimension)]
        return np.pad(points, missing)


def read_world(given: PixelWorld | Mapping[str, Any] | None) -> PixelWorld:
    """Return a world, also from plain values, which alone survive in an environment specification.

    Raises:
        OptionError: a value that a world does not have.
    """
    if isinstance(given, PixelWorld):
        return given
    values = dict(given or {})
    valid = sorted(PixelWorld.__dataclass_fields__)
    if unknown := sorted(set(values) - set(valid)):
        raise OptionError(f"Unknown value {unknown[0]!r} of a pixel world; choose from {', '.join(valid)}.")
    return PixelWorld(**values)
