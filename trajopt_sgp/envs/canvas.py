"""Pictures of plants, drawn with pygame at three times the size and scaled down for smooth edges."""

import contextlib
import io
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

with contextlib.redirect_stdout(io.StringIO()):  # pygame greets on standard output, which belongs to the caller
    try:
        import pygame
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled("Rendering needs pygame: pip install pygame.") from error

Point = tuple[float, float]
Color = tuple[int, int, int]

BACKGROUND: Color = (250, 250, 247)
RAIL: Color = (92, 98, 108)
INK: Color = (44, 50, 60)
FAINT: Color = (160, 165, 172)
GOAL: Color = (206, 214, 206)
BODY: Color = (46, 82, 122)
POLE: Color = (214, 120, 44)
CONTROL: Color = (190, 48, 62)

_OVERSAMPLING = 3
_FONT_SIZES = (20, 26)


class Canvas:
    """A sheet of `width` by `height` pixels to draw on, shown in a window that keeps real time if one is asked for.

    Without a window nothing but memory is used, so that images can be made on a machine without a display.

    Args:
        width: of the picture [pixels].
        height: of the picture [pixels].
        title: of the window; None for no window.
        frames_per_second: at which the window is shown.
    """

    def __init__(self, width: int, height: int, title: str | None = None, frames_per_second: int = 20) -> None:
        pygame.font.init()
        self.width, self.height = width, height
        self._sheet = pygame.Surface((width * _OVERSAMPLING, height * _OVERSAMPLING))
        self._frame = pygame.Surface((width, height))
        self._fonts = {size: pygame.font.Font(None, size * _OVERSAMPLING) for size in _FONT_SIZES}
        self._screen = None if title is None else _open_window(width, height, title)
        self._clock = pygame.time.Clock()
        self._frames_per_second = frames_per_second

    def clear(self) -> None:
        """Begin a picture."""
        self._sheet.fill(BACKGROUND)

    def finish(self) -> NDArray[np.uint8]:
        """Return the picture `(height, width, 3)`; with a window, show it there too."""
        pygame.transform.smoothscale(self._sheet, (self.width, self.height), self._frame)
        if self._screen is not None:
            self._screen.blit(self._frame, (0, 0))
            pygame.event.pump()
            pygame.display.flip()
            self._clock.tick(self._frames_per_second)
        return np.ascontiguousarray(pygame.surfarray.array3d(self._frame).swapaxes(0, 1))

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._screen is not None:
            pygame.display.quit()
            self._screen = None

    def line(self, start: Point, end: Point, color: Color, width: float) -> None:
        """Draw a straight bar as a polygon: pygame's thick lines have slanted ends."""
        along = np.subtract(end, start)
        norm = float(np.hypot(*along))
        if norm == 0.0:
            return
        across = np.array((-along[1], along[0])) * (0.5 * width / norm)
        corners = (start + across, end + across, end - across, start - across)
        self.polygon(tuple((float(x), float(y)) for x, y in corners), color)

    def polygon(self, corners: tuple[Point, ...], color: Color) -> None:
        """Fill a polygon."""
        pygame.draw.polygon(self._sheet, color, [_scaled(corner) for corner in corners])

    def disc(self, center: Point, radius: float, color: Color) -> None:
        """Fill a circle."""
        pygame.draw.circle(self._sheet, color, _scaled(center), radius * _OVERSAMPLING)

    def rectangle(self, corner: Point, size: Point, color: Color, radius: float = 0.0) -> None:
        """Fill a rectangle with corners rounded to `radius`."""
        rectangle = pygame.Rect(*_scaled(corner), *_scaled(size))
        pygame.draw.rect(self._sheet, color, rectangle, border_radius=int(radius * _OVERSAMPLING))

    def write(self, text: str, position: Point, size: int, color: Color, anchor: str) -> None:
        """Write text of size 20 or 26 with its `anchor` ("topleft", "midtop", ...) at a position."""
        image = self._fonts[size].render(text, True, color)
        place: dict[str, Any] = {anchor: _scaled(position)}
        self._sheet.blit(image, image.get_rect(**place))


def _open_window(width: int, height: int, title: str) -> "pygame.Surface":
    pygame.display.init()
    pygame.display.set_caption(title)
    return pygame.display.set_mode((width, height))


def _scaled(point: Point) -> Point:
    return point[0] * _OVERSAMPLING, point[1] * _OVERSAMPLING
