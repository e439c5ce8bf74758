"""Animated pictures of boxes that are pushed to their goals, seen from above."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PusherParameters
from trajopt_sgp.envs.pusher_equations import NUMPY, box_keypoints
from trajopt_sgp.errors import OptionError
from trajopt_sgp.files import write_atomically
from trajopt_sgp.viz.animation import encode_gif
from trajopt_sgp.viz.style import INK

Corner = tuple[float, float]

_PAPER, _BOX, _PUSHER, _GOAL = "#fafaf7", "#d6782c", "#2f6db3", "#cfe6d6"
_STRIP, _GAP, _SMOOTH = 16, 4, 2


@dataclass(frozen=True, eq=False)
class PushedBox:
    """One episode.

    Attributes:
        states: Box x, y [m], angle [rad], pusher x, y [m] at even times `(t, 5)`.
        goal: Pose of the box `(3,)`.
    """

    states: FloatArray
    goal: FloatArray


def animate_pushes(
    episodes: Mapping[str, PushedBox],
    path: Path,
    view: tuple[Corner, Corner],
    fps: float,
    columns: int = 5,
    width: int = 160,
    hold: float = 2.0,
) -> Path:
    """Write a GIF of episodes in a grid, and return its path; one that has ended stays as it is.

    Args:
        episodes: by name.
        path: of the GIF; its folder is made if missing.
        view: corners of the part of the table that is shown [m].
        fps: pictures per second, and states per second shown at true speed.
        columns: of the grid, at most.
        width: of one picture [pixel].
        hold: how long the last picture stays [s].

    Raises:
        OptionError: there are no episodes.
    """
    if not episodes:
        raise OptionError("animate_pushes needs at least one episode.")
    page = _Page(episodes, view, min(columns, len(episodes)), width)
    count = max(len(episode.states) for episode in episodes.values())
    frames = [page.draw(step) for step in range(count)]
    durations = [round(100.0 / fps) * 10] * (count - 1) + [round(1e3 * hold)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode_gif(frames, durations))
    return path


class _Page:
    """The grid of pictures."""

    def __init__(
        self, episodes: Mapping[str, PushedBox], view: tuple[Corner, Corner], columns: int, width: int
    ) -> None:
        self.episodes, self.columns = episodes, columns
        (self.west, self.south), (self.east, self.north) = view
        self.scale = width / (self.east - self.west)
        self.width, self.height = width, round((self.north - self.south) * self.scale)
        font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
        self.font = ImageFont.truetype(font, 11)

    def draw(self, step: int) -> Image.Image:
        """Return the picture of all episodes after so many steps."""
        rows = -(-len(self.episodes) // self.columns)
        tall = self.height + _STRIP + _GAP
        page = Image.new("RGB", (self.columns * (self.width + _GAP), rows * tall), "white")
        pen = ImageDraw.Draw(page)
        for (name, episode), (left, top) in zip(self.episodes.items(), self._places(tall), strict=False):
            pen.text((left + 2, top), name, INK, self.font)
            page.paste(self._picture(episode, step), (left, top + _STRIP))
        return page

    def _places(self, tall: int) -> Iterator[tuple[int, int]]:
        for number in range(len(self.episodes)):
            row, column = divmod(number, self.columns)
            yield column * (self.width + _GAP), row * tall

    def _picture(self, episode: PushedBox, step: int) -> Image.Image:
        # drawn larger and reduced, for smooth edges
        picture = Image.new("RGB", (_SMOOTH * self.width, _SMOOTH * self.height), _PAPER)
        pen = ImageDraw.Draw(picture)
        state = episode.states[min(step, len(episode.states) - 1)]
        pen.polygon(self._corners(episode.goal), fill=_GOAL)
        pen.polygon(self._corners(state[:3]), outline=_BOX, width=3)
        (x, y), radius = self._pixel(state[3:]), PusherParameters().radius * self.scale * _SMOOTH
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_PUSHER)
        return picture.resize((self.width, self.height), Image.Resampling.BOX)

    def _corners(self, pose: FloatArray) -> list[tuple[float, float]]:
        points = np.reshape(box_keypoints(pose, PusherParameters(), NUMPY), (5, 2))[:4]
        return [self._pixel(point) for point in points]

    def _pixel(self, point: FloatArray) -> tuple[float, float]:
        x, y = point
        return _SMOOTH * self.scale * (x - self.west), _SMOOTH * self.scale * (self.north - y)
