"""Pictures of a point mass in its world."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.canvas import BACKGROUND, BODY, CONTROL, GOAL, INK, Canvas
from trajopt_sgp.envs.planar_worlds import PlanarWorld, Point

SIZE = 480
_MARGIN = 24.0
_KNOWN = (226, 236, 228)


class PointMassRenderer:
    """Draws the region in which data lie, the goal, and the point: in the colour of alarm where it has left the region.

    Args:
        world: what is drawn; the box around its region fills the picture.
        window: whether to show the pictures in a window too.
    """

    def __init__(self, world: PlanarWorld, window: bool = False) -> None:
        self._world = world
        self._canvas = Canvas(SIZE, SIZE, world.name if window else None)
        low, high = map(np.array, world.region.corners)
        self._scale = (SIZE - 2.0 * _MARGIN) / float((high - low).max())
        self._origin = _MARGIN - self._scale * low[0], SIZE - _MARGIN + self._scale * low[1]

    def draw(self, state: ArrayLike, control: float, time: float, /) -> NDArray[np.uint8]:
        """Return the image of a position `(2,)` after so many steps, `(480, 480, 3)`; the control is not drawn."""
        point = np.asarray(state, dtype=np.float64)
        outer, holes = self._world.region.boundary()
        self._canvas.clear()
        self._fill(outer, _KNOWN)
        for hole in holes:
            self._fill(hole, BACKGROUND)
        self._canvas.disc(self._place(self._world.goal), 12.0, GOAL)
        inside = bool(self._world.region.contains(point))
        self._canvas.disc(self._place(point), 7.0, BODY if inside else CONTROL)
        self._canvas.write(f"step {time:.0f}", (SIZE - 28.0, 28.0), 20, INK, anchor="topright")
        return self._canvas.finish()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._canvas.close()

    def _fill(self, polygon: FloatArray, color: Any) -> None:
        self._canvas.polygon(tuple(self._place(corner) for corner in polygon), color)

    def _place(self, point: Point | FloatArray) -> Point:
        x, y = float(point[0]), float(point[1])
        return self._origin[0] + self._scale * x, self._origin[1] - self._scale * y
