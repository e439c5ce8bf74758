"""Figures of closed-loop episodes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.viz.solution_plots import draw_bounds
from trajopt_sgp.viz.style import BAD, BOX, BOX_EDGE, INK, PALETTE, Bounds, add_heading, axis_label, new_figure, styled

_LIMIT: Literal["--"] = "--"


@styled
def plot_mpc(
    times: ArrayLike,
    states: ArrayLike,
    controls: ArrayLike,
    state_names: Sequence[str] | None = None,
    control_names: Sequence[str] | None = None,
    show: Sequence[int] | None = None,
    goal: ArrayLike | None = None,
    tolerances: Mapping[int, float] | None = None,
    judged_from: float = 0.0,
    success: ArrayLike | None = None,
    control_limits: Bounds | None = None,
    units: Mapping[str, str] | None = None,
    title: str = "Closed loop on the true system",
    problem: OptimalControlProblem | None = None,
) -> Figure:
    """Draw states and controls of many episodes over time, one panel each.

    Args:
        times: of the states [s], `(steps+1,)`.
        states: `(episodes, steps+1, n)`; NaN after the end of an episode.
        controls: `(episodes, steps, m)`.
        state_names: by default those of `problem`, or x[0], x[1], ... without one.
        control_names: alike, u[0], u[1], ...
        show: indices of the states to draw; all by default.
        goal: state `(n,)` to reach; NaN where there is none.
        tolerances: distance from the goal that counts as reached, by index of the state; shaded.
        judged_from: since when the tolerances apply [s].
        success: whether each episode succeeded, `(episodes,)`; failures are drawn in red over the others
            and do not widen the axes.
        control_limits: lower and upper, numbers or `(m,)`; by default the bounds of `problem`.
        units: by the names of states and controls.
        title: above the figure.
        problem: that the controller solves; gives names and bounds, of which those of states are drawn where they are
            near.

    Raises:
        ShapeError: the arrays do not fit together, or the problem has other numbers of states or controls.
    """
    time, state, control = (np.asarray(array, dtype=np.float64) for array in (times, states, controls))
    good = np.ones(len(state), dtype=bool) if success is None else np.asarray(success, dtype=bool)
    _check_shapes(time, state, control, good)
    if goal is not None and np.shape(goal) != state.shape[2:]:
        raise ShapeError(f"The goal has shape {np.shape(goal)}; it must be {state.shape[2:]}, NaN where there is none.")
    size, inputs = state.shape[2], control.shape[2]
    names, inner_limits, limits = _describe(problem, size, inputs)
    names = [*(state_names or names[:size]), *(control_names or names[size:])]
    chosen = list(range(size)) if show is None else list(show)
    figure = new_figure(8.0, 1.9 * (len(chosen) + inputs) + 0.8)
    panels = figure.subplots(len(chosen) + inputs, 1, sharex=True, squeeze=False)[:, 0]
    for axes, index in zip(panels, chosen, strict=False):
        _draw_episodes(axes, time, state[:, :, index], good)
        band = _mark_goal(axes, time, goal, tolerances or {}, index, judged_from)
        _limit_to_successes(axes, np.append(state[good, :, index], band) if good.any() else band[:0])
        draw_bounds(axes, inner_limits[index], _LIMIT)
        axes.set_ylabel(axis_label(names[index], units))
    for index, axes in enumerate(panels[len(chosen) :]):
        held = np.concatenate([control[:, :, index], control[:, -1:, index]], axis=1)
        _draw_episodes(axes, time, held, good, drawstyle="steps-post")
        _mark_limits(axes, control_limits or limits, index, inputs)
        axes.set_ylabel(axis_label(names[size + index], units))
    panels[-1].set_xlabel("time [s]")
    panels[-1].set_xlim(time[0], time[-1])
    figure.align_ylabels(panels)
    _add_legend(figure, good, success is not None, goal is not None, bool(tolerances), _drawn(panels))
    add_heading(figure, title)
    return figure


def _check_shapes(time: FloatArray, state: FloatArray, control: FloatArray, good: BoolArray) -> None:
    episodes, steps = len(good), len(time) - 1
    if state.ndim != 3 or control.ndim != 3 or state.shape[:2] != (episodes, steps + 1):
        raise ShapeError(f"States have shape {state.shape}; they must be ({episodes}, {steps + 1}, n).")
    if control.shape[:2] != (episodes, steps):
        raise ShapeError(f"Controls have shape {control.shape}; they must be ({episodes}, {steps}, m).")


def _describe(
    problem: OptimalControlProblem | None, states: int, controls: int
) -> tuple[list[str], list[tuple[float, float]], Bounds | None]:
    """Return names of states and controls, the bounds of each state, and those of the controls."""
    if problem is None:
        names = [*(f"x[{i}]" for i in range(states)), *(f"u[{i}]" for i in range(controls))]
        return names, [(-np.inf, np.inf)] * states, None
    sizes = problem.state_size, problem.control_size
    if sizes != (states, controls):
        raise ShapeError(f"The problem has {sizes} states and controls, the episodes {(states, controls)}.")
    inner, outer = problem.state_box, problem.control_box
    bounds = list(zip(inner.lower.tolist(), inner.upper.tolist(), strict=True))
    return [*problem.state_labels, *problem.control_labels], bounds, (outer.lower, outer.upper)


def _drawn(panels: Iterable[Axes]) -> bool:
    """Return whether limits are drawn in any panel."""
    return any(line.get_linestyle() == _LIMIT for axes in panels for line in axes.lines)


def _draw_episodes(
    axes: Axes, time: FloatArray, values: FloatArray, good: BoolArray, drawstyle: str = "default"
) -> None:
    alpha = max(0.25, min(1.0, 4.0 / len(good)))
    for line in values[good]:
        axes.plot(time, line, color=PALETTE[0], linewidth=1.1, alpha=alpha, drawstyle=drawstyle)
    for line in values[~good]:
        axes.plot(time, line, color=BAD, linewidth=1.3, drawstyle=drawstyle)


def _mark_goal(
    axes: Axes,
    time: FloatArray,
    goal: ArrayLike | None,
    tolerances: Mapping[int, float],
    index: int,
    judged_from: float,
) -> FloatArray:
    """Draw the goal and what counts as reached; return the lower and upper edge of that, nothing without a goal."""
    if goal is None or not np.isfinite(centre := float(np.asarray(goal, dtype=np.float64)[index])):
        return np.empty(0)
    axes.axhline(centre, color=INK, linestyle=":", linewidth=1.2)
    reach = tolerances.get(index, 0.0)
    if reach:
        span = [judged_from, time[-1]]
        axes.fill_between(span, centre - reach, centre + reach, facecolor=BOX, edgecolor=BOX_EDGE, zorder=0.6)
    return np.array([centre - reach, centre + reach])


def _limit_to_successes(axes: Axes, values: FloatArray) -> None:
    """Keep a failure that runs away from flattening everything else: it may leave the panel."""
    finite = values[np.isfinite(values)]
    if finite.size:
        margin = 0.15 * (finite.max() - finite.min()) or 0.5
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, finite.min() - margin), min(high, finite.max() + margin))


def _mark_limits(axes: Axes, limits: Bounds | None, index: int, size: int) -> None:
    for side in limits or ():
        limit = np.broadcast_to(np.asarray(side, dtype=np.float64), (size,))[index]
        if np.isfinite(limit):
            axes.axhline(limit, color=INK, linestyle=_LIMIT, linewidth=1.0)


def _add_legend(figure: Figure, good: BoolArray, judged: bool, goal: bool, tolerance: bool, limits: bool) -> None:
    reached = (
        f"{int(good.sum())} of {len(good)} episodes succeed"
        if judged
        else f"{len(good)} episode{'s' * (len(good) > 1)}"
    )
    entries = [Line2D([], [], color=PALETTE[0], label=reached)]
    if not good.all():
        entries.append(Line2D([], [], color=BAD, label=f"{int((~good).sum())} failed"))
    if goal:
        entries.append(Line2D([], [], color=INK, linestyle=":", linewidth=1.2, label="goal"))
    if tolerance:
        entries.append(Line2D([], [], color=BOX_EDGE, linewidth=6.0, alpha=0.5, label="required at the end"))
    if limits:
        entries.append(Line2D([], [], color=INK, linestyle=_LIMIT, linewidth=1.0, label="limit"))
    figure.legend(handles=entries, loc="outside lower left", ncols=len(entries))
