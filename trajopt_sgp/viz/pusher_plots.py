"""Pictures of a box that is pushed to a goal."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Polygon

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PusherParameters
from trajopt_sgp.envs.pusher_equations import NUMPY, box_keypoints
from trajopt_sgp.viz.style import (
    add_heading,
    key_line,
    key_marker,
    legend_below,
    name_axes,
    new_figure,
    panel_grid,
    styled,
)

_BOX, _PUSHER, _GOAL = "#d6782c", "#2f6db3", "#3c9a5a"
_SHOWN, _LINE = 9, 36


@styled
def plot_pushes(episodes: Mapping[str, tuple[FloatArray, FloatArray]], title: str = "Pushes, from above") -> Figure:
    """Draw episodes side by side on one scale, early poses faint: box, pusher and goal from above.

    Args:
        episodes: by name, states `(k, 5)` (box x, y, angle, pusher x, y) and goal pose `(3,)`.
        title: above the figure.
    """
    columns = min(3, len(episodes))
    figure = new_figure(max(4.0 * columns, 5.0), 2.9 * -(-len(episodes) // columns) + 0.9)
    panels = panel_grid(figure, len(episodes), columns)
    for axes, (name, (states, goal)) in zip(panels, episodes.items(), strict=True):
        _draw(axes, states, goal)
        axes.set_title(fill(name, _LINE), fontsize=9)
    name_axes(panels, "x [m]", "y [m]")
    legend_below(figure, _key())
    add_heading(figure, title)
    return figure


def _key() -> list[Artist]:
    return [
        key_marker("box, faint: earlier", "s", "white", _BOX, 10.0),
        key_marker("pusher", "o", "white", _PUSHER, 10.0),
        key_line("its path", _PUSHER, width=0.8),
        Patch(facecolor=_GOAL, alpha=0.35, label="goal of the box"),
    ]


def _draw(axes: Any, states: FloatArray, goal: FloatArray) -> None:
    plant = PusherParameters()
    for place in np.unique(np.linspace(0, len(states) - 1, _SHOWN).astype(int)):
        strength = 0.15 + 0.85 * place / max(1, len(states) - 1)
        axes.add_patch(Polygon(_corners(states[place, :3], plant), fill=False, edgecolor=_BOX, alpha=strength))
        axes.add_patch(Circle(tuple(states[place, 3:]), plant.radius, fill=False, edgecolor=_PUSHER, alpha=strength))
    axes.add_patch(Polygon(_corners(goal, plant), facecolor=_GOAL, alpha=0.35))
    axes.plot(states[:, 3], states[:, 4], color=_PUSHER, linewidth=0.8)
    axes.set_aspect("equal")
    axes.autoscale_view()


def _corners(pose: FloatArray, plant: PusherParameters) -> FloatArray:
    return np.reshape(box_keypoints(pose, plant, NUMPY), (5, 2))[:4]
