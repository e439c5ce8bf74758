"""Figure of several solutions of one problem: their trajectories on top of each other, their errors and times."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import Solution
from trajopt_sgp.problem.dynamics import is_continuous
from trajopt_sgp.viz.solution_plots import draw_bounds, draw_plan
from trajopt_sgp.viz.style import BAD, INK, PALETTE, add_heading, new_figure, pick_colours, styled

_COLUMNS = 3
_DASHES = ("-", (0, (5.0, 2.0)), (0, (2.0, 1.2)), (0, (6.0, 1.5, 1.5, 1.5)))
_SMALLEST = 1e-16
# width of the line beside a label [points]
_KEY = 30.0

Style = tuple[str, Any]
"""A colour and a dash."""


@styled
def plot_comparison(
    solutions: Mapping[str, Solution],
    optimum: float | None = None,
    units: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Draw the trajectories of solutions of one problem on top of each other, and below them what each is worth.

    The points below are the error of the cost, the largest mesh error, where any problem is continuous in time, and the
    wall time; beside each label is its line. Solutions that are no success are drawn faintly, with hollow points. Zeros
    stand on the left edge.

    Args:
        solutions: by label.
        optimum: least cost; by default the least of the successful solutions, or of all where none is.
        units: units by the names of states and controls.
        title: above the figure.

    Raises:
        OptionError: there is no solution.
        ShapeError: the solutions have different numbers of states or controls.
    """
    problem = _common_problem(solutions)
    size = problem.problem.state_size + problem.problem.control_size
    columns = min(_COLUMNS, max(size, 2))
    rows = -(-size // columns)
    height = 0.26 * len(solutions) + 1.0
    figure = new_figure(4.0 * max(columns, 2) + 0.5, 2.4 * rows + height + 0.26 * len(solutions) + 0.8)
    parts: Any = figure.subfigures(2, 1, height_ratios=(2.4 * rows + 0.5, height + 0.3))
    upper, lower = parts
    grid = list(upper.subplots(rows, columns, squeeze=False).ravel())
    for axes in grid[size:]:
        axes.remove()
    styles = _pick_styles(solutions)
    for label, solution in solutions.items():
        colour, dash = styles[label]
        width = 1.6 if solution.success else 1.0
        style: dict[str, Any] = {"linestyle": dash, "linewidth": width, "alpha": 1.0 if solution.success else 0.65}
        draw_plan(grid, solution, colour, units, knots=False, **style)
    _draw_limits(grid, problem)
    _draw_scores(lower, solutions, styles, optimum)
    add_heading(figure, title or f"{problem.problem.name}, solved in {len(solutions)} way{'s' * (len(solutions) > 1)}")
    return figure


def _common_problem(solutions: Mapping[str, Solution]) -> Solution:
    given: object = solutions
    if not isinstance(given, Mapping) or not given:
        raise OptionError('plot_comparison needs at least one solution by its label: {"Ipopt": solution, ...}.')
    first, *others = solutions.values()
    wanted = first.problem.state_size, first.problem.control_size
    for other in others:
        sizes = other.problem.state_size, other.problem.control_size
        if sizes != wanted:
            raise ShapeError(
                f"The solutions have {wanted} and {sizes} states and controls; compare those of one problem."
            )
    return first


def _pick_styles(solutions: Mapping[str, Solution]) -> dict[str, Style]:
    """Return a colour and a dash for each label, no two alike as long as there are any left.

    Neighbours have different dashes too, so that curves on top of each other are seen.
    """
    colours, styles = pick_colours(solutions), dict[str, Style]()
    for k, label in enumerate(solutions):
        turn = k + k // len(PALETTE)
        choices = [(colours[label], _DASHES[(turn + j) % len(_DASHES)]) for j in range(len(_DASHES))]
        styles[label] = next((style for style in choices if style not in styles.values()), choices[0])
    return styles


def _draw_limits(panels: Sequence[Axes], solution: Solution) -> None:
    boxes = solution.problem.state_box, solution.problem.control_box
    lower, upper = (np.concatenate([getattr(box, side) for box in boxes]) for side in ("lower", "upper"))
    for axes, low, high in zip(panels, lower, upper, strict=False):
        draw_bounds(axes, (float(low), float(high)))


def _draw_scores(
    figure: FigureBase, solutions: Mapping[str, Solution], styles: Mapping[str, Style], optimum: float | None
) -> None:
    good = [solution for solution in solutions.values() if solution.success] or list(solutions.values())
    best = min(solution.cost for solution in good) if optimum is None else optimum
    relative = "optimum" if optimum is not None else "best"
    errors = [abs(solution.cost - best) / max(abs(best), 1e-12) for solution in solutions.values()]
    scores = {f"cost, relative to the {relative}": errors}
    if any(is_continuous(solution.problem.dynamics) for solution in solutions.values()):
        scores["largest mesh error"] = [_largest_mesh_error(solution) for solution in solutions.values()]
    scores["wall time [s]"] = [float(solution.seconds.get("total", 0.0)) for solution in solutions.values()]
    panels = figure.subplots(1, len(scores), sharey=True)
    for axes, (title, values) in zip(panels, scores.items(), strict=True):
        _draw_points(axes, title, np.array(values), solutions, styles)
    _draw_key(panels[0], styles)
    if not all(solution.success for solution in solutions.values()):
        _explain_points(figure)


def _largest_mesh_error(solution: Solution) -> float:
    return float(solution.mesh_error.max()) if is_continuous(solution.problem.dynamics) else float("nan")


def _draw_key(axes: Axes, styles: Mapping[str, Style]) -> None:
    """Write the labels, and draw beside each its line."""
    axes.set_yticks(np.arange(len(styles)), list(styles))
    axes.set_ylim(len(styles) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0.0, pad=_KEY + 4.0)
    for k, (colour, dash) in enumerate(styles.values()):
        line = {"arrowstyle": "-", "color": colour, "linestyle": dash, "linewidth": 1.6, "shrinkA": 0.0, "shrinkB": 0.0}
        place: Any = ("axes points", "data")
        axes.annotate("", (-6.0, k), (-_KEY, k), place, place, line, annotation_clip=False)


def _explain_points(figure: FigureBase) -> None:
    points: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 6.5}
    entries = [
        Line2D([], [], **points, color=INK, label="success"),
        Line2D([], [], **points, color="white", markeredgecolor=BAD, label="no success"),
    ]
    figure.legend(handles=entries, loc="outside lower right", ncols=2)


def _draw_points(
    axes: Axes, title: str, values: FloatArray, solutions: Mapping[str, Solution], styles: Mapping[str, Style]
) -> None:
    finite = values[np.isfinite(values) & (values > _SMALLEST)]
    shown = finite if len(finite) else np.array([1e-3])
    low, high = 10.0 ** np.floor(np.log10(shown.min()) - 0.3), 10.0 ** np.ceil(np.log10(shown.max()) + 0.3)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for k, (label, value) in enumerate(zip(solutions, values, strict=True)):
        if np.isnan(value):
            continue
        place = float(np.clip(value, low, high))
        success, colour = solutions[label].success, styles[label][0]
        axes.plot([low, place], [k, k], color=colour, linewidth=1.2, alpha=0.6)
        face = colour if success else "white"
        edge = colour if success else BAD
        axes.plot([place], [k], "o", color=face, markeredgecolor=edge, markersize=6.5, clip_on=False, zorder=4)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", length=0.0)
    axes.grid(visible=False, axis="y")
    axes.set_title(title, fontsize=10.0, fontweight="normal")
