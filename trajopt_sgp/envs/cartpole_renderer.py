"""Pictures of the cart-pole."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.envs.canvas import BODY, CONTROL, FAINT, GOAL, INK, POLE, RAIL, Canvas
from trajopt_sgp.envs.cartpole_equations import STATE_BOX_HIGH, STATE_BOX_LOW, CartPoleParameters

WIDTH, HEIGHT = 960, 400
_PIXELS_PER_METRE = 170.0
_RAIL_Y = 250.0
_SCALE_Y = 362.0
_FREE_TRAVEL = 1.6


class CartPoleRenderer:
    """Draws cart-pole states: as images, or in a window that keeps real time.

    Lengths are to scale; the view follows the cart when it goes further than 1.6 m from the origin.
    """

    def __init__(self, parameters: CartPoleParameters, window: bool = False) -> None:
        self._parameters = parameters
        self._canvas = Canvas(WIDTH, HEIGHT, "Cart-pole swing-up" if window else None)
        self._camera = 0.0

    def draw(self, state: ArrayLike, force: float, time: float) -> NDArray[np.uint8]:
        """Draw one state and return the image; with a window, show it there too, in real time.

        Args:
            state: p [m], theta [rad] and their rates, `(4,)`.
            force: horizontal force on the cart [N].
            time: since the start of the episode [s].

        Returns:
            Image `(400, 960, 3)`.
        """
        p, theta, *_ = (float(value) for value in np.asarray(state))
        self._camera = math.copysign(max(abs(p) - _FREE_TRAVEL, 0.0), p)
        self._canvas.clear()
        self._draw_rail()
        self._draw_goal()
        self._draw_cart_and_pole(p, theta)
        self._draw_force(p, force)
        self._canvas.write(f"{time:5.2f} s", (28.0, 24.0), 26, INK, anchor="topleft")
        self._canvas.write(f"force {force:+5.1f} N", (WIDTH - 28.0, 24.0), 26, INK, anchor="topright")
        return self._canvas.finish()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._canvas.close()

    def _draw_rail(self) -> None:
        self._canvas.line((0.0, _RAIL_Y + 15.0), (float(WIDTH), _RAIL_Y + 15.0), RAIL, 5.0)
        self._canvas.line((0.0, _SCALE_Y), (float(WIDTH), _SCALE_Y), FAINT, 1.5)
        reach = WIDTH / 2.0 / _PIXELS_PER_METRE + 1.0
        for metre in range(math.ceil(self._camera - reach), math.floor(self._camera + reach) + 1):
            x = self._column(float(metre))
            self._canvas.line((x, _SCALE_Y), (x, _SCALE_Y + 7.0), FAINT, 1.5)
            self._canvas.write(f"{metre} m", (x, _SCALE_Y + 12.0), 20, FAINT, anchor="midtop")
        for end in (STATE_BOX_LOW[0], STATE_BOX_HIGH[0]):
            self._canvas.line((self._column(end), _RAIL_Y - 22.0), (self._column(end), _RAIL_Y + 15.0), RAIL, 8.0)

    def _draw_goal(self) -> None:
        length = self._parameters.pole_length * _PIXELS_PER_METRE
        joint = (self._column(0.0), _RAIL_Y - 30.0)
        tip = (joint[0], joint[1] - length)
        self._canvas.line(joint, tip, GOAL, 9.0)
        self._canvas.disc(tip, 16.0, GOAL)

    def _draw_cart_and_pole(self, p: float, theta: float) -> None:
        x, length = self._column(p), self._parameters.pole_length * _PIXELS_PER_METRE
        joint = (x, _RAIL_Y - 30.0)
        tip = (joint[0] + length * math.sin(theta), joint[1] + length * math.cos(theta))
        for wheel in (x - 30.0, x + 30.0):
            self._canvas.disc((wheel, _RAIL_Y + 3.0), 10.0, INK)
            self._canvas.disc((wheel, _RAIL_Y + 3.0), 4.0, FAINT)
        self._canvas.rectangle((x - 52.0, _RAIL_Y - 46.0), (104.0, 44.0), BODY, radius=10.0)
        self._canvas.line(joint, tip, POLE, 9.0)
        self._canvas.disc(tip, 16.0, POLE)
        self._canvas.disc(joint, 7.0, INK)

    def _draw_force(self, p: float, force: float) -> None:
        length = abs(force) / self._parameters.force_limit * 120.0
        if length < 1.0:
            return
        side = math.copysign(1.0, force)
        y, tail = _RAIL_Y - 24.0, self._column(p) + side * 58.0
        head = tail + side * length
        size = min(14.0, length)
        base = head - side * size
        self._canvas.line((tail, y), (base, y), CONTROL, 6.0)
        self._canvas.polygon(((head, y), (base, y - 0.7 * size), (base, y + 0.7 * size)), CONTROL)

    def _column(self, p: float) -> float:
        return WIDTH / 2.0 + (p - self._camera) * _PIXELS_PER_METRE
