"""Pictures of many paths through the plane, and which of them leave the region of the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon
from numpy.typing import ArrayLike

from trajopt_sgp.envs import PlanarWorld, segments_outside
from trajopt_sgp.envs.planar_worlds import Point
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.viz.style import (
    BAD,
    BOX,
    BOX_EDGE,
    GOOD,
    INK,
    add_heading,
    key_line,
    key_marker,
    legend_below,
    new_figure,
    set_title,
    styled,
)

_GOAL = "#F0B400"
_LINE = 36
"""Letters of a note that fit below a panel."""


@dataclass(frozen=True, eq=False)
class Paths:
    """What one planner made of many starts."""

    label: str
    """Title of its panel."""
    states: ArrayLike
    """True states `(P, N+1, 2)`."""
    note: str = ""
    """A few words below the panel."""


@styled
def plot_paths(
    world: PlanarWorld,
    panels: Sequence[Paths],
    goals: ArrayLike | Sequence[Point] | None = None,
    title: str = "Paths on the true system",
) -> Figure:
    """Draw one panel per planner: the region of the data, all paths, and in red the segments that leave the region.

    Args:
        world: gives the region.
        panels: planners, from left to right.
        goals: `(G, 2)`; drawn as stars.
        title: above the figure.

    Raises:
        OptionError: there is no panel.
        ShapeError: paths are not `(P, N+1, 2)`.
    """
    if not panels:
        raise OptionError("plot_paths needs at least one panel.")
    figure = new_figure(4.1 * len(panels), 5.4)
    grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, panel in zip(grid, panels, strict=True):
        draw_region(axes, world)
        _draw_paths(axes, world, panel)
        if goals is not None:
            marks = np.asarray(goals, dtype=np.float64)
            axes.plot(*marks.T, "*", color=_GOAL, markeredgecolor=INK, markersize=11.0, markeredgewidth=0.6, zorder=4)
        set_title(axes, panel.label)
        axes.set_xlabel(fill(panel.note, _LINE))
        axes.annotate("x", (1.0, 0.0), (5.0, 0.0), "axes fraction", "offset points", va="center")
        axes.set_aspect("equal")
        axes.locator_params(nbins=5)
        axes.grid(False)
    grid[0].set_ylabel("y")
    goal = [] if goals is None else [key_marker("goal", "*", _GOAL, INK, 11.0)]
    legend_below(figure, [*_key(), *goal], 3 if len(panels) == 1 else None)
    add_heading(figure, title)
    return figure


def _key() -> list[Artist]:
    return [
        Patch(facecolor=BOX, edgecolor=BOX_EDGE, label="region of the data"),
        key_line("path inside", GOOD),
        key_line("path outside", BAD),
        key_marker("start", "s", INK, size=4.0),
    ]


def draw_region(axes: Axes, world: PlanarWorld) -> None:
    """Shade the region in which data of a world lie."""
    outer, holes = world.region.boundary()
    axes.add_patch(Polygon(outer, facecolor=BOX, edgecolor=BOX_EDGE, zorder=0.5))
    for hole in holes:
        axes.add_patch(Polygon(hole, facecolor="white", edgecolor=BOX_EDGE, zorder=0.6))


def _draw_paths(axes: Axes, world: PlanarWorld, panel: Paths) -> None:
    states = np.asarray(panel.states, dtype=np.float64)
    if states.ndim != 3 or states.shape[2] != 2:
        raise ShapeError(f"{panel.label}: paths have shape (P, N+1, 2), not {states.shape}.")
    segments = np.stack([states[:, :-1], states[:, 1:]], axis=2).reshape(-1, 2, 2)
    outside = segments_outside(world.region, states).ravel()
    for chosen, colour in ((~outside, GOOD), (outside, BAD)):
        axes.add_collection(LineCollection(list(segments[chosen]), colors=colour, linewidths=0.9, alpha=0.75, zorder=2))
    axes.plot(*states[:, 0].T, "s", color=INK, markersize=2.8, zorder=3)
    axes.autoscale_view()
