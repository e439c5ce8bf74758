"""Animated pictures of what true systems do under different plans."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CartPoleParameters
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.files import write_atomically
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.viz.style import INK, pick_colours

if TYPE_CHECKING:
    from trajopt_sgp.envs.cartpole_renderer import CartPoleRenderer


_PAPER = "#fafaf7"
_STRIP = 34
_CAPTION = 30
_MARGIN = 14
_PALETTE_SIZE = 96


def animate_cartpole(
    trajectories: Mapping[str, Trajectory],
    path: Path,
    parameters: CartPoleParameters | None = None,
    fps: int = 20,
    caption: str = "",
    notes: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
    width: int = 640,
    hold: float = 1.5,
) -> Path:
    """Write a GIF of cart-poles one below the other, in real time, and return its path.

    A trajectory that ends before the others stays at its last state; the last picture is held, then all starts again.

    Args:
        trajectories: states `(N+1, 4)` and forces `(N, 1)` by label; what the true system did.
        path: of the GIF; its folder is made if missing.
        parameters: of the cart-pole; the standard ones if not given.
        fps: pictures per second; GIF rounds their duration to 10 ms.
        caption: one line below.
        notes: a few words on the right of each label, for example "true cost 13: fails".
        colours: by label.
        width: of the picture [pixel].
        hold: how long the last picture stays [s].

    Raises:
        OptionError: no trajectory, or fps, width or hold out of range.
        ShapeError: a trajectory is a batch or not one of a cart-pole; names it.
    """
    _check(trajectories, fps, width, hold)
    # pygame is slow to import, and only animations need it.
    from trajopt_sgp.envs.cartpole_renderer import CartPoleRenderer

    renderer = CartPoleRenderer(parameters or CartPoleParameters())
    page = _Page(trajectories, caption, notes or {}, pick_colours(trajectories, colours), width)
    frames = list(page.frames(renderer, fps))
    durations = [round(100.0 / fps) * 10] * (len(frames) - 1) + [round(1000.0 * hold)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode_gif(frames, durations))
    return path


class _Page:
    """The layout of one picture."""

    def __init__(
        self,
        trajectories: Mapping[str, Trajectory],
        caption: str,
        notes: Mapping[str, str],
        colours: Mapping[str, str],
        width: int,
    ) -> None:
        self.trajectories, self.caption, self.notes, self.colours = trajectories, caption, notes, colours
        self.width = width
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.bold = ImageFont.truetype(fonts / "DejaVuSans-Bold.ttf", 17)
        self.plain = ImageFont.truetype(fonts / "DejaVuSans.ttf", 14)

    def frames(self, renderer: "CartPoleRenderer", fps: int) -> Iterator[Image.Image]:
        """Draw the pictures one after the other."""
        duration = max(trajectory.times[-1] for trajectory in self.trajectories.values())
        for time in np.arange(round(duration * fps) + 1) / fps:
            yield self._draw([renderer.draw(*_at(trajectory, time)) for trajectory in self.trajectories.values()])

    def _draw(self, pictures: list[NDArray[np.uint8]]) -> Image.Image:
        height = round(self.width * pictures[0].shape[0] / pictures[0].shape[1])
        total = len(pictures) * (_STRIP + height) + (_CAPTION if self.caption else 0)
        page = Image.new("RGB", (self.width, total), _PAPER)
        pen = ImageDraw.Draw(page)
        for i, (label, picture) in enumerate(zip(self.trajectories, pictures, strict=True)):
            top = i * (_STRIP + height)
            scaled = Image.fromarray(picture).resize((self.width, height), Image.Resampling.HAMMING)
            page.paste(scaled, (0, top + _STRIP))
            self._write_strip(pen, top, label)
        if self.caption:
            pen.text((self.width / 2, total - _CAPTION / 2), self.caption, INK, self.plain, anchor="mm")
        return page

    def _write_strip(self, pen: ImageDraw.ImageDraw, top: int, label: str) -> None:
        middle = top + _STRIP / 2
        pen.rectangle((0, top, self.width, top + _STRIP - 1), fill="#e3e7ea")
        pen.rectangle((0, top, 5, top + _STRIP - 1), fill=self.colours[label])
        pen.text((_MARGIN, middle), label, self.colours[label], self.bold, anchor="lm")
        pen.text((self.width - _MARGIN, middle), self.notes.get(label, ""), INK, self.plain, anchor="rm")


def _check(trajectories: Mapping[str, Trajectory], fps: int, width: int, hold: float) -> None:
    if not trajectories:
        raise OptionError("animate_cartpole needs at least one trajectory.")
    for label, trajectory in trajectories.items():
        shapes = trajectory.states.shape[1:], trajectory.controls.shape[1:]
        if shapes != ((4,), (1,)):
            raise ShapeError(f"Trajectory {label!r} is none of a cart-pole: states (N+1, 4) and forces (N, 1).")
    for name, value, low, high in (("fps", fps, 1, 50), ("width", width, 200, 1920), ("hold", hold, 0.02, 600.0)):
        if not low <= value <= high:
            raise OptionError(f"{name} = {value}: choose from {low} to {high}.")


def _at(trajectory: Trajectory, time: float) -> tuple[FloatArray, float, float]:
    """Return state, force and time, at most the end: states between knots on straight lines, forces as steps."""
    end = float(trajectory.times[-1])
    held = end if time > end - 1e-9 else time
    state = np.array([np.interp(held, trajectory.times, column) for column in trajectory.states.T])
    knot = min(int(held / trajectory.time_step + 1e-9), trajectory.horizon - 1)
    return state, float(trajectory.controls[knot, 0]), held


def encode_gif(frames: list[Image.Image], durations: list[int]) -> bytes:
    """Return a GIF in the colours of the first and the last picture, without dithering, which would flicker."""
    sample = Image.new("RGB", (frames[0].width, 2 * frames[0].height))
    sample.paste(frames[0], (0, 0))
    sample.paste(frames[-1], (0, frames[0].height))
    palette = sample.quantize(_PALETTE_SIZE, Image.Quantize.MEDIANCUT)
    reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    reduced[0].save(
        buffer, "GIF", save_all=True, append_images=reduced[1:], duration=durations, loop=0, optimize=False, disposal=1
    )
    return buffer.getvalue()
