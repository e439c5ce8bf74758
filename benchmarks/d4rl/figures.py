"""Figures of the comparison, from the records of its cells."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.d4rl.beside import Curve, budgets, half_interval, sizes, speeds
from benchmarks.d4rl.table import Runs, common, gather, pooled
from trajopt_sgp.data import d4rl_robot
from trajopt_sgp.studies.aggregates import performance_profile
from trajopt_sgp.studies.d4rl.methods import OURS
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.viz.style import PALETTE, add_heading, new_figure, styled

_BARS = "bars: 95 % over\nepisodes of one seed"


def draw(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return the figures that there are results for."""
    found: dict[str, Figure] = {}
    scores = gather(records)
    ours = scores.get(OURS, {})
    # what has played less would leave few tasks to compare on
    shared = common({method: by for method, by in scores.items() if set(ours) <= set(by) and method != "behaviour"})
    if shared:
        found["performance-profile"] = _profile(shared)
    if timed := timed_budgets(records):
        found["return-against-time"] = _against_time(timed)
    if lines := sizes(records):
        found["return-against-data"] = _against_data(lines)
    return found


@styled
def _profile(shared: Mapping[str, Sequence[Runs]]) -> Figure:
    thresholds = np.linspace(0.0, 120.0, 121)
    figure = new_figure(7.0, 4.2)
    axes = figure.subplots()
    for i, (method, tasks) in enumerate(shared.items()):
        profile = performance_profile([pooled(runs) for runs in tasks], thresholds)
        # the colours repeat after so many
        width, dashes = 2.5 if method == OURS else 1.2, "--" if i >= len(PALETTE) else "-"
        axes.plot(thresholds, profile, dashes, label=method, lw=width)
    axes.set(xlabel="score", ylabel="share of episodes above it", ylim=(0.0, 1.02))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    count = len(next(iter(shared.values())))
    add_heading(figure, f"Episodes above a score, {count} tasks")
    return figure


def timed_budgets(records: Sequence[CellRecord]) -> dict[str, dict[int, tuple[tuple[float, float], list[float]]]]:
    """Return times, alone and ten together, and scores by iterations, by task; where both were measured."""
    found, times = {}, speeds(records)
    for task, curve in budgets(records).items():
        timed = times.get(d4rl_robot(task), {})
        known = {count: (timed[name], scores) for count, scores in curve if (name := f"{count} iterations") in timed}
        if known:
            found[task] = known
    return found


@styled
def _against_time(timed: Mapping[str, Mapping[int, tuple[tuple[float, float], list[float]]]]) -> Figure:
    figure = new_figure(7.0, 4.2)
    axes = figure.subplots()
    for task, known in timed.items():
        for column, label in enumerate(("alone", "ten together")):
            where = [times[column] for times, _ in known.values()]
            _errors(axes, where, [scores for _, scores in known.values()], f"{task}, {label}")
        for count, (times, scores) in known.items():
            place = times[0], float(np.mean(scores))
            axes.annotate(str(count), place, xytext=(4, -12), textcoords="offset points", fontsize=8)
    axes.set(xlabel="time per action [ms]", ylabel="score", xscale="log", ylim=(0.0, None))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="lower right", title=_BARS)
    add_heading(figure, "Return against time per action, by iterations")
    return figure


@styled
def _against_data(lines: Mapping[tuple[str, str], Curve]) -> Figure:
    tasks = sorted({task for task, _ in lines})
    figure = new_figure(3.4 * len(tasks) + 2.6, 3.8)
    for axes, task in zip(figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0], tasks, strict=True):
        for (place, method), curve in lines.items():
            if place == task:
                _errors(axes, [count for count, _ in curve], [scores for _, scores in curve], method)
        axes.set(title=task, xlabel="transitions", xscale="log", ylim=(0.0, None))
    figure.axes[0].set_ylabel("score")
    figure.axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title=_BARS)
    add_heading(figure, "Return against data")
    return figure


def _errors(axes: Axes, where: Sequence[float], scores: Sequence[Sequence[float]], label: str) -> None:
    """Draw means with Student's intervals, where there is more than one episode."""
    means, halves = [float(np.mean(runs)) for runs in scores], [half_interval(runs) for runs in scores]
    axes.errorbar(where, means, halves, marker="o", ms=4, capsize=2, label=label)
