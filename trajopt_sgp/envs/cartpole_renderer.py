"""Pictures of the cart-pole, drawn with pygame at three times the size and scaled down for smooth edges."""

import contextlib
import io
import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.envs.cartpole_equations import STATE_BOX_HIGH, STATE_BOX_LOW, CartPoleParameters

with contextlib.redirect_stdout(io.StringIO()):  # pygame greets on standard output, which belongs to the caller
    try:
        import pygame
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled("Rendering needs pygame: pip install pygame.") from error

Point = tuple[float, float]
Color = tuple[int, int, int]

WIDTH, HEIGHT = 960, 400
_OVERSAMPLING = 3
_PIXELS_PER_METRE = 170.0
_RAIL_Y = 250.0
_SCALE_Y = 362.0
_FREE_TRAVEL = 1.6
_FRAMES_PER_SECOND = 20

_BACKGROUND: Color = (250, 250, 247)
_RAIL: Color = (92, 98, 108)
_INK: Color = (44, 50, 60)
_FAINT: Color = (160, 165, 172)
_GOAL: Color = (206, 214, 206)
_CART: Color = (46, 82, 122)
_POLE: Color = (214, 120, 44)
_FORCE: Color = (190, 48, 62)


class CartPoleRenderer:
    """Draws cart-pole states: as images, or in a window that keeps real time.

    Without a window nothing but memory is used, so that images can be made on a machine without a display. Lengths are
    to scale; the view follows the cart when it goes further than 1.6 m from the origin.
    """

    def __init__(self, parameters: CartPoleParameters, window: bool = False) -> None:
        pygame.font.init()
        self._parameters = parameters
        self._canvas = pygame.Surface((WIDTH * _OVERSAMPLING, HEIGHT * _OVERSAMPLING))
        self._frame = pygame.Surface((WIDTH, HEIGHT))
        self._fonts = {size: pygame.font.Font(None, size * _OVERSAMPLING) for size in (20, 26)}
        self._screen = self._open_window() if window else None
        self._clock = pygame.time.Clock() if window else None
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
        self._canvas.fill(_BACKGROUND)
        self._draw_rail()
        self._draw_goal()
        self._draw_cart_and_pole(p, theta)
        self._draw_force(p, force)
        self._write(f"{time:5.2f} s", (28.0, 24.0), 26, _INK, anchor="topleft")
        self._write(f"force {force:+5.1f} N", (WIDTH - 28.0, 24.0), 26, _INK, anchor="topright")
        pygame.transform.smoothscale(self._canvas, (WIDTH, HEIGHT), self._frame)
        if self._screen is not None and self._clock is not None:
            self._show(self._screen, self._clock)
        return np.ascontiguousarray(pygame.surfarray.array3d(self._frame).swapaxes(0, 1))

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._screen is not None:
            pygame.display.quit()
            self._screen = None

    def _open_window(self) -> "pygame.Surface":
        pygame.display.init()
        pygame.display.set_caption("Cart-pole swing-up")
        return pygame.display.set_mode((WIDTH, HEIGHT))

    def _show(self, screen: "pygame.Surface", clock: "pygame.time.Clock") -> None:
        screen.blit(self._frame, (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        clock.tick(_FRAMES_PER_SECOND)

    def _draw_rail(self) -> None:
        self._line((0.0, _RAIL_Y + 15.0), (float(WIDTH), _RAIL_Y + 15.0), _RAIL, 5.0)
        self._line((0.0, _SCALE_Y), (float(WIDTH), _SCALE_Y), _FAINT, 1.5)
        reach = WIDTH / 2.0 / _PIXELS_PER_METRE + 1.0
        for metre in range(math.ceil(self._camera - reach), math.floor(self._camera + reach) + 1):
            x = self._column(float(metre))
            self._line((x, _SCALE_Y), (x, _SCALE_Y + 7.0), _FAINT, 1.5)
            self._write(f"{metre} m", (x, _SCALE_Y + 12.0), 20, _FAINT, anchor="midtop")
        for end in (STATE_BOX_LOW[0], STATE_BOX_HIGH[0]):
            self._line((self._column(end), _RAIL_Y - 22.0), (self._column(end), _RAIL_Y + 15.0), _RAIL, 8.0)

    def _draw_goal(self) -> None:
        length = self._parameters.pole_length * _PIXELS_PER_METRE
        joint = (self._column(0.0), _RAIL_Y - 30.0)
        tip = (joint[0], joint[1] - length)
        self._line(joint, tip, _GOAL, 9.0)
        self._disc(tip, 16.0, _GOAL)

    def _draw_cart_and_pole(self, p: float, theta: float) -> None:
        x, length = self._column(p), self._parameters.pole_length * _PIXELS_PER_METRE
        joint = (x, _RAIL_Y - 30.0)
        tip = (joint[0] + length * math.sin(theta), joint[1] + length * math.cos(theta))
        for wheel in (x - 30.0, x + 30.0):
            self._disc((wheel, _RAIL_Y + 3.0), 10.0, _INK)
            self._disc((wheel, _RAIL_Y + 3.0), 4.0, _FAINT)
        self._rectangle((x - 52.0, _RAIL_Y - 46.0), (104.0, 44.0), _CART, radius=10.0)
        self._line(joint, tip, _POLE, 9.0)
        self._disc(tip, 16.0, _POLE)
        self._disc(joint, 7.0, _INK)

    def _draw_force(self, p: float, force: float) -> None:
        length = abs(force) / self._parameters.force_limit * 120.0
        if length < 1.0:
            return
        side = math.copysign(1.0, force)
        y, tail = _RAIL_Y - 24.0, self._column(p) + side * 58.0
        head = tail + side * length
        size = min(14.0, length)
        self._line((tail, y), (head - side * size, y), _FORCE, 6.0)
        self._polygon(((head, y), (head - side * size, y - 0.7 * size), (head - side * size, y + 0.7 * size)), _FORCE)

    def _column(self, p: float) -> float:
        return WIDTH / 2.0 + (p - self._camera) * _PIXELS_PER_METRE

    def _line(self, start: Point, end: Point, color: Color, width: float) -> None:
        """Draw a straight bar as a polygon: pygame's thick lines have slanted ends."""
        along = np.subtract(end, start)
        norm = float(np.hypot(*along))
        if norm == 0.0:
            return
        across = np.array((-along[1], along[0])) * (0.5 * width / norm)
        corners = (start + across, end + across, end - across, start - across)
        self._polygon(tuple((float(x), float(y)) for x, y in corners), color)

    def _polygon(self, corners: tuple[Point, ...], color: Color) -> None:
        pygame.draw.polygon(self._canvas, color, [_scaled(corner) for corner in corners])

    def _disc(self, center: Point, radius: float, color: Color) -> None:
        pygame.draw.circle(self._canvas, color, _scaled(center), radius * _OVERSAMPLING)

    def _rectangle(self, corner: Point, size: Point, color: Color, radius: float = 0.0) -> None:
        rectangle = pygame.Rect(*_scaled(corner), *_scaled(size))
        pygame.draw.rect(self._canvas, color, rectangle, border_radius=int(radius * _OVERSAMPLING))

    def _write(self, text: str, position: Point, size: int, color: Color, anchor: str) -> None:
        image = self._fonts[size].render(text, True, color)
        place: dict[str, Any] = {anchor: _scaled(position)}
        self._canvas.blit(image, image.get_rect(**place))


def _scaled(point: Point) -> Point:
    return point[0] * _OVERSAMPLING, point[1] * _OVERSAMPLING
