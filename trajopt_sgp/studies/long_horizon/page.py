"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Rectangle

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.long_horizon.maze import GOAL_RADIUS
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import percent, success_rate
from trajopt_sgp.studies.toys.compact import unpack_array
from trajopt_sgp.viz.rate_plots import MARKERS, beside, draw_rates, share_axis
from trajopt_sgp.viz.style import (
    INK,
    PALETTE,
    add_heading,
    key_line,
    key_marker,
    legend_below,
    name_axes,
    new_figure,
    panel_grid,
    styled,
)

_WAYS = {False: ("open loop", PALETTE[1]), True: ("replanned", PALETTE[0])}
_GOAL = PALETTE[2]
_COLUMNS = 4

_CORRIDOR = """## Corridor

The horizon T grows and the largest step shrinks as 4 / T, so that the way around the corner, about 2 long, needs about
half of the horizon whatever T. Data, models and β (in proportion to 1 / T, since the distance is summed over the knots)
are those of each T. A plan succeeds when no point of its true path is outside the corridor and its end is within 0.1 of
the goal. Every plan has the same processor time, one plan at a time: of descent, CEM and MPPI the number of iterations
is what fits, measured beforehand; each of the stages of Ipopt is stopped after an even share. CEM and MPPI move in 25
blocks of equal controls, whatever T, since they learn little from samples of a thousand variables. Memory is what
planning adds to the models, the largest over seeds."""

_MAZE = """## Point maze

PointMaze_UMaze-v3 of gymnasium-robotics, each force held for 0.05 s, 60 held forces in an episode, the 300 steps that
the environment allows. Data: random forces from random cells, no waypoints, N transitions. From one closed end of the
U to the other, both drawn by the environment. The reward is at the goal only; planners with the surrogate minimise 10
times the squared distance of the last position to the goal, which is sparse in time only and pulls into the wall;
"reward itself" is -10 within 0.45 m of the goal at the end, else 0. Success: the ball comes within 0.45 m of the goal
in the real environment. "planned" is the share of first plans that end there by the model. Replanned in every step
from the plan before, up to the end of the episode: with a horizon that moves along, a cost at its end alone is met
later and later."""

Group = Mapping[tuple[Any, ...], list[Mapping[str, Any]]]


def _groups(records: Sequence[CellRecord], function: str, *names: str) -> Group:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        if record.function == function:
            groups.setdefault(tuple(record.settings[name] for name in names), []).append(record.result)
    return groups


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    corridor = _groups(records, "plan_corridor", "planner", "horizon")
    maze = _groups(records, "plan_maze", "transitions", "planner", "receding")
    parts = [_CORRIDOR, _corridor_table(corridor)] if corridor else []
    return "\n\n".join([*parts, *([_MAZE, _maze_table(maze)] if maze else [])])


def _rate(results: Sequence[Mapping[str, Any]], count: str = "successes") -> str:
    return success_rate(*_counts(results, count)).text(percent)


def _counts(results: Sequence[Mapping[str, Any]], count: str = "successes") -> tuple[int, int]:
    return sum(result[count] for result in results), sum(result["plans"] for result in results)


def _joined(results: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [value for result in results for value in result[name]]


def _corridor_table(groups: Group) -> str:
    rows = []
    for (planner, horizon), results in groups.items():
        memory = [result["megabytes"] for result in results if result["megabytes"] is not None]
        rows.append(
            [
                planner,
                str(horizon),
                _rate(results),
                _rate(results, "inside"),
                f"{np.median([result['missed_median'] for result in results]):.3f}",
                f"{np.median(_joined(results, 'iterations')):.0f}",
                f"{np.median(_joined(results, 'seconds')):.2f}",
                f"{max(memory):.0f}" if memory else "",
            ]
        )
    columns = [
        "planner",
        "T",
        "success",
        "stays inside",
        "goal missed, median",
        "iterations",
        "s / plan",
        "memory [MB]",
    ]
    return markdown_table(columns, rows)


def _maze_table(groups: Group) -> str:
    rows = []
    for (size, planner, receding), results in groups.items():
        kind = "replanned" if receding else "open loop"
        later = f"{np.median([result['later_seconds'] for result in results]):.2f}" if receding else ""
        seconds = f"{np.median(_joined(results, 'first_seconds')):.2f}"
        nearest = f"{np.median(_joined(results, 'nearest')):.2f}"
        rows.append([f"{size:,}", planner, kind, _rate(results), _rate(results, "predicted"), nearest, seconds, later])
    columns = ["N", "planner", "executed", "success", "planned", "nearest to goal, median [m]", "s / plan", "s / step"]
    return markdown_table(columns, rows)


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return success over horizons, and ways through the maze."""
    corridor = _groups(records, "plan_corridor", "planner", "horizon")
    maze = _groups(records, "plan_maze", "transitions", "planner", "receding")
    figures = {"corridor": plot_horizons(corridor)} if corridor else {}
    for size in dict.fromkeys(key[0] for key in maze):
        figures[f"maze-{size}"] = plot_maze({key[1:]: found for key, found in maze.items() if key[0] == size}, size)
    return figures


@styled
def plot_horizons(groups: Group) -> Figure:
    """Draw success over the horizon, one line with intervals for each planner."""
    figure = new_figure(8.6, 4.4)
    axes = figure.subplots()
    names = list(dict.fromkeys(planner for planner, _ in groups))
    for k, name in enumerate(names):
        horizons = sorted(horizon for planner, horizon in groups if planner == name)
        rates = [success_rate(*_counts(groups[name, horizon])) for horizon in horizons]
        colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
        draw_rates(axes, beside(horizons, k, len(names)), rates, colour, marker=marker, label=name)
    shown = sorted({horizon for _, horizon in groups})
    axes.set(xscale="log", xlabel="horizon T")
    share_axis(axes)
    axes.set_xticks(shown, [str(horizon) for horizon in shown])
    axes.set_xticks([], minor=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    add_heading(figure, "Corridor: success on the true system in the same processor time, 95 % intervals")
    return figure


@styled
def plot_maze(groups: Group, size: int) -> Figure:
    """Draw the executed ways through the maze, a panel for each planner."""
    names = list(dict.fromkeys(planner for planner, _ in groups))
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(2.6 * columns + 0.4, 3.1 * rows + 1.0)
    panels = panel_grid(figure, len(names), columns)
    for axes, name in zip(panels, names, strict=True):
        _draw_maze(axes)
        counts = [_draw_ways(axes, groups, name, receding) for receding in _WAYS]
        axes.set_title("\n".join([name, *filter(None, counts)]), fontsize=9.5)
    name_axes(panels, "x [m]", "y [m]")
    legend_below(figure, _maze_key(groups))
    add_heading(figure, f"Point maze, {size:,} transitions: executed ways, and how many reach the goal")
    return figure


def _draw_ways(axes: Any, groups: Group, name: str, receding: bool) -> str:
    """Draw the ways of one planner and return how many of them succeed, in words; nothing where there are none."""
    results = groups.get((name, receding), [])
    word, colour = _WAYS[receding]
    for path in _joined(results, "paths"):
        way = unpack_array(path)
        axes.plot(*way.T, color=colour, linewidth=0.8)
        axes.plot(*way[0], "s", color=INK, markersize=3.0, zorder=3)
    reached, runs = _counts(results)
    return f"{word}: {reached} of {runs}" if runs else ""


def _maze_key(groups: Group) -> list[Any]:
    drawn = {receding for _, receding in groups}
    return [
        *(key_line(*way, width=1.2) for receding, way in _WAYS.items() if receding in drawn),
        key_marker("start", "s", INK, size=4.0),
        key_marker("reward: within this of the goal", "o", "white", _GOAL, 9.0),
        Patch(color=INK, alpha=0.3, linewidth=0.0, label="wall"),
    ]


def _draw_maze(axes: Any) -> None:
    axes.add_patch(Rectangle((-1.5, -1.5), 3.0, 3.0, fill=False, edgecolor=INK))
    axes.add_patch(Rectangle((-1.5, -0.5), 2.0, 1.0, color=INK, alpha=0.3, linewidth=0.0))
    axes.add_patch(Circle((-1.0, -1.0), GOAL_RADIUS, fill=False, edgecolor=_GOAL, linewidth=1.4, zorder=4))
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
