"""Pictures of the pixel integrator for people: what the camera sees, enlarged, and where the data have their hole."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.envs.canvas import CONTROL, FAINT, INK, Canvas, Color
from trajopt_sgp.envs.pixel_world import PixelWorld

SIZE = 480
_DOT = 3.0


class PixelRenderer:
    """Shows the picture of the state, bright on dark, in r by r squares; a ring of dots where the hole ends.

    Args:
        world: what is seen and how.
        window: whether to show the pictures in a window too.
    """

    def __init__(self, world: PixelWorld, window: bool = False) -> None:
        self._world = world
        self._canvas = Canvas(SIZE, SIZE, "pixel integrator" if window else None)

    def draw(self, state: ArrayLike, control: float, time: float, /) -> NDArray[np.uint8]:
        """Return the image of a position after so many steps, `(480, 480, 3)`; the control is not drawn."""
        side = self._world.resolution
        width = SIZE / side
        levels = (255.0 * self._world.state_picture(state)).astype(int).reshape(side, side)
        self._canvas.clear()
        self._canvas.rectangle((0.0, 0.0), (float(SIZE), float(SIZE)), INK)
        for row, column in np.argwhere(levels > 0).tolist():
            level = int(levels[row, column])
            shade: Color = tuple(c + (255 - c) * level // 255 for c in INK)  # type: ignore[assignment]
            self._canvas.rectangle((column * width, row * width), (width, width), shade)
        self._draw_hole()
        self._canvas.write(f"step {time:.0f}", (SIZE - 24.0, 20.0), 20, FAINT, anchor="topright")
        return self._canvas.finish()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._canvas.close()

    def _draw_hole(self) -> None:
        scale = 0.5 * SIZE / self._world.state_images.extent
        for angle in np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False):
            place = self._world.hole * scale * np.array([np.cos(angle), np.sin(angle)]) + 0.5 * SIZE
            self._canvas.disc((float(place[0]), float(place[1])), _DOT, CONTROL)
