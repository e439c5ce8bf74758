"""Pictures of a box that is pushed on a table, from above."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.canvas import BODY, CONTROL, FAINT, GOAL, INK, POLE, Canvas, Color, Point
from trajopt_sgp.envs.pusher_equations import NUMPY, PusherParameters, box_keypoints

WIDTH, HEIGHT = 560, 640
_PIXELS_PER_METRE = 800.0
_LOW, _HIGH = np.array([0.3, -0.4]), np.array([1.0, 0.4])
_ARROW = 2.0


class PlanarPusherRenderer:
    """Draws box, goal and pusher, seen from above, x to the right: images, or a window that keeps real time."""

    def __init__(self, window: bool = False) -> None:
        self._canvas = Canvas(WIDTH, HEIGHT, "Planar pusher" if window else None, frames_per_second=2)

    def draw(
        self,
        state: ArrayLike,
        control: tuple[FloatArray, PusherParameters, FloatArray],
        time: float,
        /,
    ) -> NDArray[np.uint8]:
        """Return the image `(640, 560, 3)`.

        Args:
            state: box x, y, angle and pusher x, y in [m] and [rad], `(5,)`.
            control: displacement of the pusher `(2,)` [m], parameters of the box, and goal pose `(3,)`.
            time: since the start of the episode [s].
        """
        step, plant, goal = control
        values = np.asarray(state, dtype=np.float64)
        self._canvas.clear()
        self._grid()
        self._box(goal, plant, GOAL)
        self._box(values[:3], plant, POLE)
        for point in np.reshape(box_keypoints(values[:3], plant, NUMPY), (5, 2)):
            self._canvas.disc(_place(point), 4.0, INK)
        self._canvas.disc(_place(values[3:]), plant.radius * _PIXELS_PER_METRE, BODY)
        self._canvas.line(_place(values[3:]), _place(values[3:] + _ARROW * step), CONTROL, 5.0)
        self._canvas.write(f"{time:5.1f} s", (20.0, 16.0), 26, INK, anchor="topleft")
        return self._canvas.finish()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._canvas.close()

    def _grid(self) -> None:
        for x in np.arange(0.4, 1.0, 0.1):
            self._canvas.line(_place(np.array([x, _LOW[1]])), _place(np.array([x, _HIGH[1]])), FAINT, 1.0)
        for y in np.arange(-0.3, 0.4, 0.1):
            self._canvas.line(_place(np.array([_LOW[0], y])), _place(np.array([_HIGH[0], y])), FAINT, 1.0)

    def _box(self, pose: FloatArray, plant: PusherParameters, color: Color) -> None:
        corners = np.reshape(box_keypoints(pose, plant, NUMPY), (5, 2))[:4]
        self._canvas.polygon(tuple(_place(corner) for corner in corners), color)


def _place(point: FloatArray) -> Point:
    x, y = (point - _LOW) * _PIXELS_PER_METRE
    return float(x), HEIGHT - float(y)
