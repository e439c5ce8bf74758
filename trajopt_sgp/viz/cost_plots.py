"""Figures of many solves: how the cost falls over the iterations, and whether predicted costs can be believed."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import Solution
from trajopt_sgp.viz.style import (
    BAD,
    BOX,
    FAINT,
    GOOD,
    INK,
    PALETTE,
    add_heading,
    legend_above,
    new_figure,
    pick_colours,
    styled,
)

Log = Sequence[Mapping[str, Any]]

_CURVES = {"merit": (PALETTE[0], "objective"), "violation": (PALETTE[1], "constraint violation")}
_CURVES |= {"stationarity": (PALETTE[3], "gradient of the Lagrangian")}


@styled
def plot_cost_by_iteration(
    solutions: Mapping[str, Solution | Sequence[Solution]],
    colours: Mapping[str, str] | None = None,
    title: str = "How the solvers converge",
) -> Figure:
    """Draw the logs of solves: many starts as median and band, a solver of one program at a time as its residuals.

    All solvers that log their best merit so far share a panel of it, with the range from the 5th to the 95th percentile
    of the starts; a dotted line marks where schedules end. A solve by any other has its own panel: the start with the
    lowest final objective; its stages of a schedule are shaded in turn.

    Args:
        solutions: by label; a solution of many starts stands for all of them.
        colours: by label.
        title: above the figure.

    Raises:
        OptionError: a solution holds no log; names it.
    """
    logs = {label: _logs(label, entry) for label, entry in solutions.items()}
    descents = {label: runs for label, runs in logs.items() if "best" in runs[0][0]}
    others = {label: runs for label, runs in logs.items() if label not in descents}
    count = bool(descents) + len(others)
    if not count:
        raise OptionError("plot_cost_by_iteration needs at least one solution.")
    figure = new_figure(max(5.6 * count, 7.0), 4.3)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    if descents:
        _draw_descents(panels.pop(0), descents, pick_colours(solutions, colours))
    for axes, (label, runs) in zip(panels, others.items(), strict=True):
        _draw_residuals(axes, label, min(runs, key=lambda run: float(run[-1]["merit"])))
    add_heading(figure, title)
    return figure


@styled
def plot_predicted_against_true(
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    threshold: float,
    colours: Mapping[str, str] | None = None,
    title: str = "Can the predicted cost be believed?",
) -> Figure:
    """Scatter the predicted against the true cost of all starts of each planner, on logarithmic axes.

    True costs that are not finite are drawn as triangles on the upper edge, costs of zero on the lower.

    Args:
        groups: predicted and true costs, `(S,)` each, by planner.
        threshold: a plan succeeds when its true cost is below.
        colours: by planner.
        title: above the figure.

    Raises:
        OptionError: there is no planner.
        ShapeError: predicted and true costs of a planner differ in number; names it.
    """
    pairs = {label: _pair(label, group) for label, group in groups.items()}
    if not pairs:
        raise OptionError("plot_predicted_against_true needs at least one group.")
    left, right = _log_limits([predicted for predicted, _ in pairs.values()])
    low, high = _log_limits([*(true for _, true in pairs.values()), np.array([threshold])])
    figure = new_figure(8.6, 5.4)
    axes = figure.subplots()
    axes.axhspan(low, threshold, color=BOX, zorder=0)
    axes.axhline(threshold, color=GOOD, linewidth=1.2)
    diagonal = [min(left, low), max(right, high)]
    axes.plot(diagonal, diagonal, color=INK, linestyle=":", linewidth=1.2, label="prediction = truth")
    chosen = pick_colours(pairs, colours)
    for label, (predicted, true) in pairs.items():
        text = f"{label}: {int((true < threshold).sum())} of {len(true)} succeed"
        _scatter(axes, _inside(predicted, left, right), _inside(true, low, high), true, chosen[label], text)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, high))
    axes.set_xlabel("cost predicted by the learned model")
    axes.set_ylabel("cost on the true system")
    _write_regions(axes, threshold)
    legend_above(axes, columns=1 if len(pairs) < 2 else 2)
    add_heading(figure, title)
    return figure


def _logs(label: str, entry: Solution | Sequence[Solution]) -> list[Log]:
    given = [entry] if isinstance(entry, Solution) else list(entry)
    logs = [start.log for solution in given for start in (solution.starts or (solution,)) if len(start.log)]
    if not logs:
        raise OptionError(f"Solution {label!r} has no log to draw.")
    return logs


def _column(log: Log, name: str) -> FloatArray:
    return np.array([entry[name] for entry in log], dtype=np.float64)


def _draw_descents(axes: Axes, groups: Mapping[str, Sequence[Log]], colours: Mapping[str, str]) -> None:
    ends: set[int] = set()
    for label, runs in groups.items():
        length = max(map(len, runs))
        best = np.stack([np.pad(_column(run, "best"), (0, length - len(run)), mode="edge") for run in runs])
        iterations = np.arange(1, length + 1)
        with np.errstate(invalid="ignore"):  # between two infinities: not a number, which is not drawn
            low, middle, high = np.percentile(best, (5.0, 50.0, 95.0), axis=0)
        count = f" ({len(runs)} starts)" if len(runs) > 1 else ""
        axes.fill_between(iterations, low, high, color=colours[label], alpha=0.18, linewidth=0.0)
        axes.plot(iterations, middle, color=colours[label], label=label + count)
        progress = _column(runs[0], "progress")
        if progress[-1] >= 1.0 > progress[0]:
            ends.add(int(iterations[np.argmax(progress >= 1.0)]))
    for i, end in enumerate(sorted(ends)):
        name = "end of the schedule" if i == 0 else "_"
        axes.axvline(end, color=INK, linestyle=":", linewidth=1.2, label=name)
    if any(len(runs) > 1 for runs in groups.values()):
        axes.fill_between([], [], color=FAINT, alpha=0.3, linewidth=0.0, label="5 % to 95 % of the starts")
    _scale_axes(axes, np.concatenate([_column(run, "best") for runs in groups.values() for run in runs]))
    axes.set(xlabel="iteration", ylabel="best merit so far")
    axes.margins(x=0.01)
    legend_above(axes, columns=2)


def _draw_residuals(axes: Axes, label: str, log: Log) -> None:
    iterations = np.arange(len(log))
    known = [name for name in _CURVES if name in log[0]]
    for name in known:
        colour, words = _CURVES[name]
        axes.plot(iterations, _column(log, name), color=colour, label=words, linewidth=1.6)
    progress = _column(log, "progress")
    edges = [0, *(np.flatnonzero(np.diff(progress)) + 1), len(log) - 1]
    for i, (first, last) in enumerate(list(pairwise(edges))[1::2]):
        name = "stages of the schedule" if i == 0 else "_"
        axes.axvspan(first, last, color=FAINT, alpha=0.15, linewidth=0.0, zorder=0, label=name)
    _scale_axes(axes, np.concatenate([_column(log, name) for name in known]))
    axes.set(xlabel=f"iteration ({label})", ylabel="value")
    axes.margins(x=0.01)
    legend_above(axes, columns=2)


def _scale_axes(axes: Axes, values: FloatArray) -> None:
    """Make the vertical axis logarithmic, with a linear part around zero where a value is negative."""
    finite = values[np.isfinite(values)]
    if (finite < 0.0).any():
        axes.set_yscale("symlog", linthresh=1e-3)
    elif finite.any():
        axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _pair(label: str, group: tuple[ArrayLike, ArrayLike]) -> tuple[FloatArray, FloatArray]:
    predicted, true = (np.asarray(values, dtype=np.float64) for values in group)
    if predicted.ndim != 1 or predicted.shape != true.shape:
        raise ShapeError(f"{label!r} has predicted costs {predicted.shape} and true costs {true.shape}; both are (S,).")
    return predicted, true


def _log_limits(arrays: Sequence[FloatArray]) -> tuple[float, float]:
    values = np.concatenate(arrays)
    positive = values[np.isfinite(values) & (values > 0.0)]
    if not positive.size:
        return 1e-3, 1.0
    return float(10.0 ** np.floor(np.log10(positive.min()) - 0.3)), float(
        10.0 ** np.ceil(np.log10(positive.max()) + 0.3)
    )


def _inside(values: FloatArray, low: float, high: float) -> FloatArray:
    """Move what cannot be drawn, zeros and numbers that are not finite, to the edges."""
    return np.clip(np.nan_to_num(values, nan=np.inf), low * 1.2, high / 1.2)


def _scatter(axes: Axes, x: FloatArray, y: FloatArray, true: FloatArray, colour: str, label: str) -> None:
    style: dict[str, Any] = {"color": colour, "alpha": 0.65, "edgecolors": "white", "linewidths": 0.5}
    finite = np.isfinite(true)
    axes.scatter(x[finite], y[finite], s=36.0, label=label, **style)
    axes.scatter(x[~finite], y[~finite], s=46.0, marker="^", **style)


def _write_regions(axes: Axes, threshold: float) -> None:
    text = f"success: true cost below {threshold:g}"
    place = (0.012, threshold), (0.0, -5.0), axes.get_yaxis_transform(), "offset points"
    axes.annotate(text, *place, va="top", color=GOOD, fontsize=9.0)
    axes.text(0.012, 0.975, "looks good, fails", transform=axes.transAxes, va="top", color=BAD, fontsize=9.0)
