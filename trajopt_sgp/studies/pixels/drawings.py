"""Ways to write the control pictures of a plan in fewer numbers, for planners that draw samples."""

from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import BSpline

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PixelWorld

_DEGREE = 3
_DISCS = 2000


@runtime_checkable
class Drawing(Protocol):
    """Numbers to control pictures, and back as nearly as can be; a number of 1 is a large change."""

    @property
    def size(self) -> int:
        """How many numbers a plan has."""

    def draw(self, numbers: FloatArray) -> FloatArray:
        """Return the control pictures `(K, N, r²)`, within [0, 1], of numbers `(K, size)`."""

    def numbers(self, controls: ArrayLike) -> FloatArray:
        """Return the numbers `(size,)` whose pictures are nearest to control pictures `(N, r²)`."""


class FreePixels:
    """Every pixel of every control for itself.

    Args:
        world: what is seen and how.
        horizon: number of steps N.
    """

    def __init__(self, world: PixelWorld, horizon: int) -> None:
        self._shape = horizon, world.resolution**2

    @property
    def size(self) -> int:
        """N r²."""
        return self._shape[0] * self._shape[1]

    def draw(self, numbers: FloatArray) -> FloatArray:
        """Return the numbers as pictures."""
        pictures: FloatArray = numbers.reshape(-1, *self._shape).clip(0.0, 1.0)
        return pictures

    def numbers(self, controls: ArrayLike) -> FloatArray:
        """Return the pixels."""
        return np.asarray(controls, dtype=np.float64).ravel()


class SplineDiscs:
    """Rendered discs, whose steps follow a cubic spline in time: all that can go wrong is where they are.

    Args:
        world: what is seen and how; one unit is the largest step in the data.
        horizon: number of steps N.
        points: control points of the spline, for each of two coordinates.
    """

    def __init__(self, world: PixelWorld, horizon: int, points: int) -> None:
        self._world, self._points, self._basis = world, points, spline_basis(horizon, points)

    @property
    def size(self) -> int:
        """Two for each control point."""
        return 2 * self._points

    def draw(self, numbers: FloatArray) -> FloatArray:
        """Return discs; steps that are too large for a picture stop at its edge."""
        steps = self._world.control_limit * (self._basis @ numbers.reshape(-1, self._points, 2))
        edge = 0.9 * self._world.control_images.extent
        return self._world.control_picture(steps.clip(-edge, edge)).astype(np.float64)

    def numbers(self, controls: ArrayLike) -> FloatArray:
        """Return the spline nearest to the steps that the pictures mean."""
        steps = self._world.decode_control(controls) / self._world.control_limit
        points: FloatArray = np.linalg.lstsq(self._basis, steps, rcond=None)[0].astype(np.float64).ravel()
        return points


class SplineComponents:
    """Sums of principal components of the data's control pictures, whose weights follow a cubic spline in time.

    Args:
        world: what is seen and how.
        horizon: number of steps N.
        points: control points of the spline, for each component.
        components: how many; one unit of each is its standard deviation in the data.
        generator: source of the steps whose pictures are analysed.
    """

    def __init__(
        self, world: PixelWorld, horizon: int, points: int, components: int, generator: np.random.Generator
    ) -> None:
        self._points, self._components = points, components
        self._basis = spline_basis(horizon, points)
        steps = generator.uniform(-world.control_limit, world.control_limit, (_DISCS, 2))
        self._discs = world.control_picture(steps).astype(np.float64)

    @cached_property
    def _pictures(self) -> tuple[FloatArray, FloatArray]:
        """Mean `(r²,)` and components `(components, r²)` times their standard deviations."""
        mean = self._discs.mean(axis=0)
        _, values, rows = np.linalg.svd(self._discs - mean, full_matrices=False)
        scales = values[: self._components, None] / np.sqrt(len(self._discs))
        return mean, scales * rows[: self._components]

    @property
    def size(self) -> int:
        """One for each control point and component."""
        return self._points * self._components

    def draw(self, numbers: FloatArray) -> FloatArray:
        """Return mean and weighted components, clipped."""
        mean, components = self._pictures
        weights = self._basis @ numbers.reshape(-1, self._points, self._components)
        pictures: FloatArray = (mean + weights @ components).clip(0.0, 1.0)
        return pictures

    def numbers(self, controls: ArrayLike) -> FloatArray:
        """Return the spline nearest to the weights of the pictures."""
        mean, components = self._pictures
        weights = np.linalg.lstsq(components.T, (np.asarray(controls) - mean).T, rcond=None)[0].T
        points: FloatArray = np.linalg.lstsq(self._basis, weights, rcond=None)[0].astype(np.float64).ravel()
        return points


def spline_basis(horizon: int, points: int) -> FloatArray:
    """Return the values `(N, points)` of the clamped cubic B-splines on [0, 1] in the middles of N intervals.

    Source: C. de Boor, A Practical Guide to Splines, 1978.
    """
    degree = min(_DEGREE, points - 1)
    inner = np.linspace(0.0, 1.0, points - degree + 1)
    knots = np.concatenate([np.zeros(degree), inner, np.ones(degree)])
    basis: FloatArray = BSpline.design_matrix((np.arange(horizon) + 0.5) / horizon, knots, degree).toarray()
    return basis
