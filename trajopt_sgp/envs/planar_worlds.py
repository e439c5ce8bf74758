"""Planar worlds: a point that moves by its control, x' = x + gain u, and the region in which its data lie.

Source of both recipes: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.envs.registration import CORRIDOR_ID, LIGHT_DARK_ID
from trajopt_sgp.errors import OptionError

Point = tuple[float, float]

STATE_NAMES = ("x", "y")
CONTROL_NAMES = ("x_step", "y_step")

_POINTS_ON_SEGMENT = 33
_POINTS_ON_CIRCLE = 96


@runtime_checkable
class Region(Protocol):
    """Where data are: a part of the plane."""

    @property
    def corners(self) -> tuple[Point, Point]:
        """Lower and upper corner of the smallest box around the region."""
        ...

    def contains(self, points: FloatArray) -> BoolArray:
        """Return whether points `(..., 2)` lie in the region, `(...)`."""
        ...

    def distance(self, points: FloatArray) -> FloatArray:
        """Return how far points `(..., 2)` are outside the region, `(...)`; zero inside."""
        ...

    def propose(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw points `(count, 2)`, of which those in the region are data."""
        ...

    def boundary(self) -> tuple[FloatArray, Sequence[FloatArray]]:
        """Return the outer polygon `(k, 2)` of the region and the polygons that are cut out of it."""
        ...


@dataclass(frozen=True)
class Corridor:
    """Two arms along the axes, which meet at the origin: an L."""

    half_width: float = 0.1
    """Half the width of an arm."""
    length: float = 2.0
    """How far from the origin data are drawn."""

    @property
    def corners(self) -> tuple[Point, Point]:
        """Lower and upper corner of the smallest box around the region."""
        return (-self.half_width, -self.half_width), (self.length, self.length)

    def contains(self, points: FloatArray) -> BoolArray:
        """Return whether points `(..., 2)` lie in one of the arms, which are open at their far ends, `(...)`."""
        low = points.min(axis=-1)
        return np.asarray((low >= -self.half_width) & (low <= self.half_width))

    def distance(self, points: FloatArray) -> FloatArray:
        """Return how far points `(..., 2)` are outside the nearer arm, `(...)`; zero inside."""
        behind, beside = np.maximum(-self.half_width - points, 0.0), np.maximum(np.abs(points) - self.half_width, 0.0)
        return np.asarray(np.hypot(behind, beside[..., ::-1]).min(axis=-1))

    def propose(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw points `(count, 2)`, half of them uniform in each arm: twice as dense where the arms meet."""
        along = generator.uniform(-self.half_width, self.length, count)
        across = generator.uniform(-self.half_width, self.half_width, count)
        points = np.column_stack([along, across])
        points[count // 2 :] = points[count // 2 :, ::-1]
        return points

    def boundary(self) -> tuple[FloatArray, Sequence[FloatArray]]:
        """Return the polygon `(6, 2)` of the L; nothing is cut out of it."""
        w, end = self.half_width, self.length
        return np.array([(-w, -w), (end, -w), (end, w), (w, w), (w, end), (-w, end)]), ()


@dataclass(frozen=True)
class SquareWithHole:
    """A square around the origin with a round hole in its middle."""

    half_side: float = 1.0
    """Half the side of the square."""
    radius: float = 0.4
    """Of the hole."""

    @property
    def corners(self) -> tuple[Point, Point]:
        """Lower and upper corner of the square."""
        return (-self.half_side, -self.half_side), (self.half_side, self.half_side)

    def contains(self, points: FloatArray) -> BoolArray:
        """Return whether points `(..., 2)` lie in the square and not in the hole, `(...)`."""
        square = np.abs(points).max(axis=-1) <= self.half_side
        return np.asarray(square & (np.square(points).sum(axis=-1) >= self.radius**2))

    def distance(self, points: FloatArray) -> FloatArray:
        """Return how far points `(..., 2)` are beyond the square or within the hole, `(...)`; zero inside."""
        beyond = np.linalg.norm(np.maximum(np.abs(points) - self.half_side, 0.0), axis=-1)
        return np.asarray(beyond + np.maximum(self.radius - np.linalg.norm(points, axis=-1), 0.0))

    def propose(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw points `(count, 2)` uniformly in the square."""
        return generator.uniform(-self.half_side, self.half_side, (count, 2))

    def boundary(self) -> tuple[FloatArray, Sequence[FloatArray]]:
        """Return the polygon `(4, 2)` of the square, and the hole as a polygon."""
        square = self.half_side * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
        angles = np.linspace(0.0, 2.0 * np.pi, _POINTS_ON_CIRCLE, endpoint=False)
        return square, (self.radius * np.column_stack([np.cos(angles), np.sin(angles)]),)


@dataclass(frozen=True)
class PlanarWorld:
    """A point mass without inertia, and where its data come from; nothing stops it from leaving the region."""

    name: str
    """Under which `WORLDS` lists it."""
    environment: str
    """Gymnasium id of its environment."""
    region: Region
    """Where states of the data lie."""
    gain: float
    """x' = x + gain u."""
    control_limit: float
    """Largest magnitude of each coordinate of the control."""
    ends_inside: bool
    """Whether the data hold only steps that end in the region too."""
    start: Point
    """Where episodes start by default."""
    goal: Point
    """Where the point shall go."""

    def step(self, states: FloatArray, controls: FloatArray) -> FloatArray:
        """Return the next states `(..., 2)`."""
        return states + self.gain * controls

    def keeps(self, states: FloatArray, next_states: FloatArray) -> BoolArray:
        """Return which steps from `states` to `next_states` `(..., 2)` are data, `(...)`."""
        inside = self.region.contains(states)
        return np.asarray(inside & self.region.contains(next_states)) if self.ends_inside else inside


CORRIDOR = PlanarWorld(
    name="corridor",
    environment=CORRIDOR_ID,
    region=Corridor(),
    gain=0.1,
    control_limit=1.0,
    ends_inside=True,
    start=(0.0, 1.0),
    goal=(1.0, 0.0),
)
"""An L-shaped corridor: the straight way from one arm to the other leaves the data."""

LIGHT_DARK = PlanarWorld(
    name="light-dark",
    environment=LIGHT_DARK_ID,
    region=SquareWithHole(),
    gain=1.0,
    control_limit=0.1,
    ends_inside=False,
    start=(0.8, 0.2),
    goal=(-0.8, 0.2),
)
"""A square with a hole in the data: the straight way from one side to the other crosses it."""

WORLDS: Mapping[str, PlanarWorld] = {world.name: world for world in (CORRIDOR, LIGHT_DARK)}
"""All worlds by name."""


def find_world(name: str) -> PlanarWorld:
    """Return a world by its name.

    Raises:
        OptionError: there is none; lists the names.
    """
    if name not in WORLDS:
        raise OptionError(f"Unknown world {name!r}; choose from {', '.join(WORLDS)}.")
    return WORLDS[name]


def segments_outside(region: Region, path: ArrayLike) -> BoolArray:
    """Return which segments of paths `(..., k+1, 2)` have a point outside a region, `(..., k)`, ends included.

    Each segment is looked at in 33 places.
    """
    return np.asarray(~region.contains(_along_segments(path)).all(axis=-1))


def depth_outside(region: Region, path: ArrayLike) -> FloatArray:
    """Return how far paths `(..., k+1, 2)` get outside a region, `(...)`; zero where they stay inside.

    Each segment is looked at in 33 places.
    """
    return np.asarray(region.distance(_along_segments(path)).max(axis=(-2, -1)))


def _along_segments(path: ArrayLike) -> FloatArray:
    """Return points on every segment of paths `(..., k+1, 2)`, `(..., k, 33, 2)`."""
    points = np.asarray(path, dtype=np.float64)
    shares = np.linspace(0.0, 1.0, _POINTS_ON_SEGMENT)[:, None]
    return np.asarray(points[..., :-1, None, :] * (1.0 - shares) + points[..., 1:, None, :] * shares)
