"""Pictures of a box that is pushed to a goal."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PusherParameters
from trajopt_sgp.envs.pusher_equations import NUMPY, box_keypoints
from trajopt_sgp.viz.style import new_figure, styled

_BOX, _PUSHER, _GOAL = "#d6782c", "#2f6db3", "#3c9a5a"
_SHOWN, _LINE = 9, 36


@styled
def plot_pushes(episodes: Mapping[str, tuple[FloatArray, FloatArray]]) -> Figure:
    """Draw episodes side by side on one scale, early poses faint: box, pusher and goal from above.

    Args:
        episodes: by name, states `(k, 5)` (box x, y, angle, pusher x, y) and goal pose `(3,)`.
    """
    columns = min(3, len(episodes))
    rows = -(-len(episodes) // columns)
    figure = new_figure(4.0 * columns, 3.0 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, (states, goal)) in zip(grid, episodes.items(), strict=False):
        _draw(axes, states, goal)
        axes.set_title(fill(name, _LINE), fontsize=9)
    for axes in grid:
        axes.tick_params(labelbottom=True)
    for axes in grid[len(episodes) :]:
        axes.remove()
    return figure


def _draw(axes: Any, states: FloatArray, goal: FloatArray) -> None:
    plant = PusherParameters()
    for place in np.unique(np.linspace(0, len(states) - 1, _SHOWN).astype(int)):
        strength = 0.15 + 0.85 * place / max(1, len(states) - 1)
        axes.add_patch(Polygon(_corners(states[place, :3], plant), fill=False, edgecolor=_BOX, alpha=strength))
        axes.add_patch(Circle(tuple(states[place, 3:]), plant.radius, fill=False, edgecolor=_PUSHER, alpha=strength))
    axes.add_patch(Polygon(_corners(goal, plant), facecolor=_GOAL, alpha=0.35))
    axes.plot(states[:, 3], states[:, 4], color=_PUSHER, linewidth=0.8)
    axes.set(aspect="equal", xlabel="x [m]", ylabel="y [m]")
    axes.autoscale_view()


def _corners(pose: FloatArray, plant: PusherParameters) -> FloatArray:
    return np.reshape(box_keypoints(pose, plant, NUMPY), (5, 2))[:4]
