"""Pictures of the pendulum."""

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.envs.canvas import BACKGROUND, CONTROL, FAINT, GOAL, INK, POLE, Canvas, Color, Point
from trajopt_sgp.envs.pendulum_equations import PendulumParameters

SIZE = 480
_REACH = 150.0
_JOINT: Point = (0.5 * SIZE, 0.52 * SIZE)
_ARC_RADIUS = 58.0
_ARC_PIECES = 24


class PendulumRenderer:
    """Draws pendulum states, the torque as an arc round the joint: as images, or in a window that keeps real time."""

    def __init__(self, parameters: PendulumParameters, window: bool = False) -> None:
        self._parameters = parameters
        self._canvas = Canvas(SIZE, SIZE, "Pendulum swing-up" if window else None)

    def draw(self, state: ArrayLike, torque: float, time: float) -> NDArray[np.uint8]:
        """Draw one state and return the image; with a window, show it there too, in real time.

        Args:
            state: theta [rad] and its rate, `(2,)`.
            torque: at the joint [N m].
            time: since the start of the episode [s].

        Returns:
            Image `(480, 480, 3)`.
        """
        theta = float(np.asarray(state)[0])
        canvas = self._canvas
        canvas.clear()
        canvas.disc(_JOINT, _REACH + 1.0, FAINT)
        canvas.disc(_JOINT, _REACH - 1.0, BACKGROUND)
        self._draw_rod(0.0, GOAL)
        self._draw_rod(theta, POLE)
        canvas.disc(_JOINT, 8.0, INK)
        self._draw_torque(torque)
        canvas.write(f"{time:5.2f} s", (24.0, 20.0), 26, INK, anchor="topleft")
        canvas.write(f"torque {torque:+5.2f} N m", (SIZE - 24.0, 20.0), 26, INK, anchor="topright")
        return canvas.finish()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._canvas.close()

    def _draw_rod(self, theta: float, color: Color) -> None:
        tip = _polar(theta, _REACH)
        self._canvas.line(_JOINT, tip, color, 10.0)
        self._canvas.disc(tip, 18.0, color)

    def _draw_torque(self, torque: float) -> None:
        """Draw an arc of 150 degrees at the limit, with a head; positive torque turns clockwise, as theta grows."""
        sweep = torque / self._parameters.torque_limit * math.radians(150.0)
        if abs(sweep) < 0.05:
            return
        angles = np.linspace(0.0, sweep, _ARC_PIECES)
        for start, end in itertools.pairwise(angles):
            self._canvas.line(_polar(start, _ARC_RADIUS), _polar(end, _ARC_RADIUS), CONTROL, 6.0)
        head = sweep + math.copysign(min(0.25, abs(sweep)), sweep)
        corners = (_polar(head, _ARC_RADIUS), _polar(sweep, _ARC_RADIUS - 10.0), _polar(sweep, _ARC_RADIUS + 10.0))
        self._canvas.polygon(corners, CONTROL)


def _polar(angle: float, radius: float) -> Point:
    """Return the place at a clockwise angle from upright."""
    return _JOINT[0] + radius * math.sin(angle), _JOINT[1] - radius * math.cos(angle)
