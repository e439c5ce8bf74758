"""Figure of one solution: states and controls between the knots, their bounds, and how far the plan can be believed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import Solution, Trajectory
from trajopt_sgp.problem.dynamics import is_continuous
from trajopt_sgp.viz.style import (
    FAINT,
    INK,
    PALETTE,
    add_heading,
    axis_label,
    new_figure,
    styled,
)

_COLUMNS = 3
_POINTS = 12
_NEAR = 0.6
_ROUNDING = 1e-16


@styled
def plot_solution(
    solution: Solution, units: Mapping[str, str] | None = None, title: str = "", colour: str = PALETTE[0]
) -> Figure:
    """Draw states and controls over time, and below them the distance to data and the mesh error of each interval.

    Dots are the knots, lines what the formulation says lies between them. Dotted lines are bounds, shaded beyond; one
    that is far from the plan is left out. A panel below is drawn only where the problem has such a distance, or
    continuous time. A policy sought from many initial states has a line for each of them.

    Args:
        solution: what to draw; it need not be a success.
        units: units by the names of states and controls.
        title: above the figure; by default problem, formulation, solver, status and cost.
        colour: of the plan.
    """
    problem, plan = solution.problem, solution.trajectory
    extras = _extra_panels(solution)
    names = [*problem.state_labels, *problem.control_labels]
    count = len(names) + len(extras)
    columns = 2 if count in (2, 4) else min(_COLUMNS, count)
    rows = -(-count // columns)
    figure = new_figure(3.9 * columns, 2.45 * rows + 0.6)
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in panels[count:]:
        axes.remove()
    draw_plan(panels, solution, colour, units, knots=True)
    for axes, (label, values) in zip(panels[len(names) : count], extras.items(), strict=True):
        _draw_intervals(axes, label, values, plan, colour)
    add_heading(figure, title or _heading(solution, narrow=columns < _COLUMNS))
    return figure


def draw_plan(
    panels: list[Axes], solution: Solution, colour: str, units: Mapping[str, str] | None, knots: bool, **style: Any
) -> None:
    """Draw every state, then every control of a solution into a panel of its own.

    Args:
        panels: at least n + m.
        solution: what to draw.
        colour: of its lines.
        units: units by the names of states and controls.
        knots: whether to mark the knots, and the bounds.
        style: further properties of the lines.
    """
    problem, plan = solution.problem, solution.trajectory
    times, states, controls = dense(plan)
    boxes = [(problem.state_box.lower, problem.state_box.upper), (problem.control_box.lower, problem.control_box.upper)]
    groups = [(states, problem.state_labels, boxes[0]), (controls, problem.control_labels, boxes[1])]
    drawn = [(v[..., i].T, names[i], (box[0][i], box[1][i])) for v, names, box in groups for i in range(len(names))]
    marks = [*plan.states.T, *controls[..., ::_POINTS, :].T]
    for axes, (values, name, bounds), points in zip(panels, drawn, marks, strict=False):
        axes.plot(times, values, color=colour, **style)
        axes.set(xlabel="time [s]", ylabel=axis_label(name, units))
        axes.margins(x=0.02, y=0.1)
        if knots:
            axes.plot(plan.times[: len(points)], points, ".", color=INK, markersize=4.0, zorder=4)
            draw_bounds(axes, bounds)


def dense(plan: Trajectory) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return times `(k,)` [s], states `(..., k, n)` and controls `(..., k, m)` at many places of every interval.

    At a knot the controls of both intervals are there, so that jumps are drawn as jumps.
    """
    mesh = np.linspace(0.0, 1.0, plan.horizon + 1) if plan.mesh is None else plan.mesh
    fractions = np.linspace(0.0, 1.0, _POINTS)
    pairs = [plan.at_fraction(float(f), mesh) for f in fractions]
    spans = np.diff(plan.times)
    times = (plan.times[:-1, None] + spans[:, None] * fractions).ravel()
    states, controls = (np.stack(values, axis=-2) for values in zip(*pairs, strict=True))
    batch = plan.controls.shape[:-2]
    return times, states.reshape(*batch, len(times), -1), controls.reshape(*batch, len(times), -1)


def draw_bounds(axes: Axes, bounds: tuple[float, float], linestyle: str = ":") -> None:
    """Mark the bounds that are near what has been drawn, and shade what lies beyond."""
    low, high = axes.get_ylim()
    reach = _NEAR * (high - low)
    for bound, sign in zip(bounds, (-1.0, 1.0), strict=True):
        if np.isfinite(bound) and low - reach <= bound <= high + reach:
            axes.axhline(bound, color=INK, linestyle=linestyle, linewidth=1.2)
            edge = bound + sign * 0.08 * (high - low)
            low, high = min(low, edge), max(high, edge)
            axes.axhspan(bound, bound + sign * 10.0 * (high - low), color=FAINT, alpha=0.18, linewidth=0.0, zorder=0)
    axes.set_ylim(low, high)


def _heading(solution: Solution, narrow: bool) -> str:
    status, break_ = solution.status.label.replace("_", " "), "\n" if narrow else " "
    way = f"{solution.transcription.name} with {solution.solver}: {status}, cost {solution.cost:.5g}"
    return f"{solution.problem.name},{break_}{way}"


def _extra_panels(solution: Solution) -> dict[str, FloatArray]:
    extras: dict[str, FloatArray] = {}
    if (distance := solution.known_data_distance) is not None:
        extras["distance to data\n[normalised units]"] = distance
    if is_continuous(solution.problem.dynamics):
        extras["mesh error\n[units of the states]"] = solution.mesh_error
    return extras


def _draw_intervals(axes: Axes, label: str, values: FloatArray, plan: Trajectory, colour: str) -> None:
    """Draw one number for each interval `(..., N)`; mesh errors on a logarithmic axis."""
    logarithmic = label.startswith("mesh")
    shown = np.where(np.isfinite(values), np.maximum(values, _ROUNDING), np.nan) if logarithmic else values
    for own in shown.reshape(-1, plan.horizon):
        axes.stairs(own, plan.times, baseline=None, color=colour, linewidth=1.8)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        top, bottom = np.nanmax(shown, initial=1e-12), np.nanmin(shown, initial=1.0)
        axes.set_ylim(10.0 ** np.floor(np.log10(bottom) - 0.2), 10.0 ** np.ceil(np.log10(top) + 0.2))
    else:
        axes.set_ylim(bottom=0.0)
    axes.margins(x=0.02)
    axes.set(xlabel="time [s]", ylabel=label)
