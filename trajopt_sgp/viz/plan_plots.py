"""Figures of single plans: what a plan predicts against what the true system does, and how far it is from data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.viz.style import (
    BAD,
    BOX,
    BOX_EDGE,
    FAINT,
    GOOD,
    INK,
    Bounds,
    add_heading,
    axis_label,
    legend_above,
    new_figure,
    pick_colours,
    set_title,
    styled,
)

Corners = tuple[FloatArray, FloatArray]
Panel = tuple[int, int] | int

_DASHED = (0, (4.0, 2.0))
_GOAL = "#F0B400"


@dataclass(frozen=True, eq=False)
class PlanView:
    """A plan and what became of it."""

    label: str
    """Name of the plan, for example "naive"; the title of its row."""
    solution: Solution
    """The plan: predicted states and planned controls."""
    truth: Trajectory
    """What the true system did: states `(N+1, n)` and the controls that it received, `(N, m)`."""
    colour: str | None = None
    """Any colour of matplotlib; by default from the palette."""
    note: str = ""
    """A few words beside the label, for example "predicted cost 0.00, true cost 13.4"."""
    success: bool | None = None
    """Whether the plan reached the goal on the true system; colours the note."""


@styled
def plot_plan_against_truth(
    plans: Sequence[PlanView],
    box: Bounds | None = None,
    axes: Sequence[Panel] | None = None,
    controls: Sequence[int] | None = None,
    control_limits: Bounds | None = None,
    goal: ArrayLike | None = None,
    units: Mapping[str, str] | None = None,
    title: str = "What the plan predicts (dashed) and what the true system does (solid)",
) -> Figure:
    """Draw one row per plan: phase-space panels, then controls over time; columns share their axes.

    Args:
        plans: plans of problems with the same states and controls.
        box: lower and upper corner of the data, `(n,)`, or `(n+m,)` to cover the controls too; shaded.
        axes: pairs (horizontal, vertical) of state indices, or single indices for states over time. By default the
            first three pairs of the first half of the states with the second (positions with velocities).
        controls: indices of the controls to draw; the first two by default.
        control_limits: lower and upper limits of what the system can take, numbers or `(m,)`; the bounds of the first
            plan's problem by default.
        goal: state `(n,)`; NaN where there is none.
        units: units by the names of states and controls.
        title: above the figure.

    Raises:
        OptionError: no plan, or an index out of range.
        ShapeError: the plans have different numbers of states or controls, or a bound has the wrong shape.
    """
    problem = _common_problem(plans)
    panels = _default_axes(problem.state_size) if axes is None else list(axes)
    inputs = list(range(min(problem.control_size, 2))) if controls is None else list(controls)
    _check_indices(problem, panels, inputs)
    columns = len(panels) + len(inputs)
    corners = _split_box(box, problem.state_size, problem.control_size)
    limits = _limits(control_limits, problem)
    target = None if goal is None else np.asarray(goal, dtype=np.float64)
    figure = new_figure(max(3.9 * columns, 6.0), 3.3 * len(plans) + 1.2)
    grid = figure.subplots(len(plans), columns, sharex="col", sharey="col", squeeze=False)
    colours = pick_colours(
        (plan.label for plan in plans), {plan.label: plan.colour for plan in plans if plan.colour is not None}
    )
    for row, plan in zip(grid, plans, strict=True):
        view = _View(plan, colours[plan.label], units or {})
        for panel, place in zip(panels, row, strict=False):
            view.draw_states(place, panel, corners, target)
        for index, place in zip(inputs, row[len(panels) :], strict=True):
            view.draw_control(place, index, corners, limits)
        view.write_title(row[0])
    for place in grid[:-1].ravel():
        place.set_xlabel("")
    add_heading(figure, title)
    _add_legend(figure, box is not None, goal is not None)
    return figure


@styled
def plot_data_distance(
    curves: Mapping[str, ArrayLike],
    time_step: float,
    limit: float | None = None,
    colours: Mapping[str, str] | None = None,
    title: str = "How far each plan leaves the data",
) -> Figure:
    """Draw the distance to data of each knot over time.

    Args:
        curves: lengths in normalised coordinates by plan, `(N,)` each.
        time_step: between knots [s].
        limit: a distance to mark: beyond it the model is extrapolating.
        colours: by plan.
        title: above the figure.

    Raises:
        OptionError: there is no curve.
    """
    if not curves:
        raise OptionError("plot_data_distance needs at least one curve.")
    figure = new_figure(7.2, 3.8)
    axes = figure.subplots()
    chosen = pick_colours(curves, colours)
    for label, values in curves.items():
        distance = np.asarray(values, dtype=np.float64)
        times = time_step * np.arange(len(distance))
        axes.plot(times, distance, color=chosen[label], label=f"{label} (largest {distance.max():.2g})")
        axes.fill_between(times, distance, color=chosen[label], alpha=0.12, linewidth=0.0)
    if limit is not None:
        axes.axhline(limit, color=INK, linestyle=":", linewidth=1.2, label=f"limit {limit:.3g}")
    axes.set_ylim(bottom=0.0)
    axes.margins(x=0.01)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("distance to data\n[normalised units]")
    legend_above(axes)
    add_heading(figure, title)
    return figure


class _DataBox(NamedTuple):
    """Corners of the data."""

    states: Corners
    controls: Corners | None


class _View:
    """One row of the figure."""

    def __init__(self, plan: PlanView, colour: str, units: Mapping[str, str]) -> None:
        self.plan, self.colour, self.units = plan, colour, units
        self.problem = plan.solution.problem
        self.predicted, self.truth = plan.solution.trajectory, plan.truth

    def draw_states(self, axes: Axes, panel: Panel, box: _DataBox | None, goal: FloatArray | None) -> None:
        """Draw two states against each other, or one over time."""
        if isinstance(panel, int):
            self._draw_over_time(axes, panel, box, goal)
            return
        i, j = panel
        if box is not None:
            _shade_box(axes, box.states, i, j)
        self._draw_lines(axes, *((trajectory.states[:, i], trajectory.states[:, j]) for trajectory in self._both()))
        if goal is not None:
            _mark_goal(axes, goal[i], goal[j])
        names = self.problem.state_labels
        axes.set(xlabel=axis_label(names[i], self.units), ylabel=axis_label(names[j], self.units))

    def _draw_over_time(self, axes: Axes, index: int, box: _DataBox | None, goal: FloatArray | None) -> None:
        if box is not None:
            _shade_band(axes, box.states, index)
        self._draw_lines(axes, *((trajectory.times, trajectory.states[:, index]) for trajectory in self._both()))
        if goal is not None:
            _mark_goal(axes, self.predicted.times[-1], goal[index])
        axes.set(xlabel="time [s]", ylabel=axis_label(self.problem.state_labels[index], self.units))

    def draw_control(self, axes: Axes, index: int, box: _DataBox | None, limits: Corners) -> None:
        """Draw a control over time as the steps it is, with its limits."""
        planned, applied = (trajectory.controls[:, index] for trajectory in self._both())
        if box is not None and box.controls is not None:
            _shade_band(axes, box.controls, index)
        for limit in limits:
            if np.isfinite(limit[index]):
                axes.axhline(limit[index], color=INK, linestyle=":", linewidth=1.2)
        axes.stairs(applied, self.truth.times, baseline=None, color=self.colour, linewidth=2.0)
        axes.stairs(planned, self.predicted.times, baseline=None, color=INK, linestyle=_DASHED, linewidth=1.0)
        axes.margins(x=0.01, y=0.08)
        axes.set(xlabel="time [s]", ylabel=axis_label(self.problem.control_labels[index], self.units))

    def write_title(self, axes: Axes) -> None:
        """Write label and note above the first panel of the row."""
        verdict = {True: GOOD, False: BAD, None: FAINT}[self.plan.success]
        set_title(axes, self.plan.label, self.plan.note, self.colour, verdict)

    def _both(self) -> tuple[Trajectory, Trajectory]:
        return self.predicted, self.truth

    def _draw_lines(
        self, axes: Axes, predicted: tuple[FloatArray, FloatArray], true: tuple[FloatArray, FloatArray]
    ) -> None:
        ends = np.array([[x[-1], y[-1]] for x, y in (predicted, true)])
        axes.plot(*ends.T, color=FAINT, linestyle=":", linewidth=1.2)
        axes.plot(*true, color=self.colour, linewidth=2.4)
        axes.plot(*predicted, color=INK, linestyle=_DASHED, linewidth=1.1)
        axes.plot(*ends[1], "o", color=self.colour, markersize=6.5, zorder=4)
        axes.plot(*ends[0], "o", markerfacecolor="white", markeredgecolor=INK, markersize=4.5, zorder=4)
        axes.plot(true[0][0], true[1][0], "s", color=INK, markersize=4.8, zorder=4)


def _common_problem(plans: Sequence[PlanView]) -> OptimalControlProblem:
    if not plans:
        raise OptionError("plot_plan_against_truth needs at least one plan.")
    first = plans[0].solution.problem
    for plan in plans:
        problem, truth = plan.solution.problem, plan.truth
        sizes = (problem.state_size, problem.control_size)
        if sizes != (first.state_size, first.control_size):
            raise ShapeError(f"Plan {plan.label!r} has {sizes} states and controls, unlike {plans[0].label!r}.")
        if truth.states.ndim != 2 or (truth.states.shape[1], truth.controls.shape[1]) != sizes:
            raise ShapeError(
                f"The truth of {plan.label!r} has states {truth.states.shape}; it needs (N+1, {sizes[0]})."
            )
    return first


def _default_axes(size: int) -> list[Panel]:
    half = size // 2
    return [(i, i + half) for i in range(min(half, 3))] or [0]


def _check_indices(problem: OptimalControlProblem, panels: Sequence[Panel], inputs: Sequence[int]) -> None:
    flat = [i for panel in panels for i in (panel if isinstance(panel, tuple) else (panel,))]
    for kind, indices, size in (("state", flat, problem.state_size), ("control", inputs, problem.control_size)):
        for index in indices:
            if not 0 <= index < size:
                raise OptionError(f"There is no {kind} {index}: choose from 0 to {size - 1}.")


def _split_box(box: Bounds | None, states: int, controls: int) -> _DataBox | None:
    if box is None:
        return None
    low, high = (np.asarray(side, dtype=np.float64) for side in box)
    if low.shape != high.shape or low.shape not in ((states,), (states + controls,)):
        raise ShapeError(
            f"The box has corners {low.shape} and {high.shape}; give ({states},) or ({states + controls},)."
        )
    inputs = (low[states:], high[states:]) if len(low) > states else None
    return _DataBox((low[:states], high[:states]), inputs)


def _limits(limits: Bounds | None, problem: OptimalControlProblem) -> Corners:
    chosen = limits or (problem.control_box.lower, problem.control_box.upper)
    low, high = (np.broadcast_to(np.asarray(side, dtype=np.float64), (problem.control_size,)) for side in chosen)
    return low, high


def _shade_box(axes: Axes, corners: Corners, i: int, j: int) -> None:
    low, high = corners
    width, height = high[i] - low[i], high[j] - low[j]
    axes.add_patch(Rectangle((low[i], low[j]), width, height, facecolor=BOX, edgecolor=BOX_EDGE, zorder=0.6))


def _shade_band(axes: Axes, corners: Corners, index: int) -> None:
    axes.axhspan(corners[0][index], corners[1][index], facecolor=BOX, edgecolor=BOX_EDGE, zorder=0.6)


def _mark_goal(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], "*", color=_GOAL, markeredgecolor=INK, markersize=19.0, markeredgewidth=0.8, zorder=3)


def _add_legend(figure: Figure, box: bool, goal: bool) -> None:
    solid: dict[str, Any] = {"color": FAINT, "linewidth": 2.4, "marker": "o"}
    dashed: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": _DASHED, "marker": "o"}
    entries: list[Artist] = [
        Line2D([], [], **dashed, markerfacecolor="white", markersize=4.5, label="predicted"),
        Line2D([], [], **solid, label="true"),
        Line2D([], [], color=INK, linestyle="", marker="s", label="start"),
    ]
    if goal:
        star: dict[str, Any] = {"marker": "*", "color": _GOAL, "markeredgecolor": INK, "markersize": 13.0}
        entries.append(Line2D([], [], linestyle="", **star, label="goal"))
    if box:
        entries.append(Patch(facecolor=BOX, edgecolor=BOX_EDGE, label="box of the data"))
    entries.append(Line2D([], [], color=INK, linestyle=":", linewidth=1.2, label="limit of the control"))
    figure.legend(handles=entries, loc="outside lower left", ncols=len(entries))
