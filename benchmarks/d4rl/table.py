"""Tables of the comparison, from the records of its cells."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trajopt_sgp.data import D4RL_TASKS
from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.aggregates import (
    interquartile_mean,
    mean_interval,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import markdown_table
from trajopt_sgp.viz.style import add_heading, new_figure, styled

FloatArray = NDArray[np.float64]
Scores = Mapping[str, Mapping[str, FloatArray]]
"""Scores of all episodes, by method and task."""

_OURS = "guided"
_INTRODUCTION = """Scores are D4RL's: 0 a random policy, 100 an expert. Each is the mean over the episodes of all seeds
of training, 5 each, with Student's 95 % interval as if episodes were independent; `behaviour` is the data itself.
The data are made by `benchmarks.d4rl.collect`, 100,000 transitions each: they are not D4RL's own files, and published
scores are of others. Falls end episodes. `bc`, `10%-bc`, `td3+bc` and `iql` are d3rlpy's, after their last step;
`clone` is the policy that proposes plans."""


def gather(records: Sequence[CellRecord]) -> Scores:
    """Return the scores by method and task, seeds in order."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in sorted(records, key=lambda record: record.settings.get("seed", 0)):
        if "scores" in record.result:
            method = record.settings.get("method", record.function)
            found[method][record.settings["task"]] += record.result["scores"]
    return {method: {task: np.array(runs) for task, runs in by.items()} for method, by in found.items()}


def page(records: Sequence[CellRecord]) -> str:
    """Return tables of scores, of aggregates and of speed."""
    scores = gather(records)
    return "\n\n".join(
        [
            _INTRODUCTION,
            _score_table(scores),
            "## Aggregates",
            _aggregates(scores),
            "## Speed",
            _speed(records),
        ]
    )


def _score_table(scores: Scores) -> str:
    tasks = [task for task in D4RL_TASKS if any(task in by for by in scores.values())]
    rows = [[task, *(_cell(by.get(task)) for by in scores.values())] for task in tasks]
    return markdown_table(["task", *scores], rows)


def _cell(runs: FloatArray | None) -> str:
    if runs is None or not len(runs):
        return ""
    try:
        interval = mean_interval(runs)
    except OptionError:
        return f"{runs.mean():.1f}"
    return f"{interval.value:.1f} ± {interval.high - interval.value:.1f}"


def _aggregates(scores: Scores) -> str:
    arrays = _common(scores)
    if not arrays:
        return "No task has results of two methods yet."
    generator, ours = np.random.default_rng(0), arrays.get(_OURS)
    rows = []
    for method, array in arrays.items():
        middle = stratified_bootstrap(interquartile_mean, [array], generator).text(_number)
        better = ""
        if ours is not None and method != _OURS:
            better = stratified_bootstrap(probability_of_improvement, [ours, array], generator).text(_share)
        rows.append([method, middle, better])
    shape = next(iter(arrays.values())).shape
    head = (
        f"Over the {shape[0]} tasks that all these methods have played, {shape[1]} episodes each; stratified bootstrap."
    )
    return head + "\n\n" + markdown_table(["method", "interquartile mean", f"probability that {_OURS} is better"], rows)


def _common(scores: Scores) -> dict[str, FloatArray]:
    """Return the scores `(tasks, runs)` of the methods, for tasks that all of them have; as many runs of each."""
    played = {method: by for method, by in scores.items() if method != "behaviour" and by}
    if len(played) < 2:
        return {}
    shared = set.intersection(*(set(by) for by in played.values()))
    tasks = [task for task in D4RL_TASKS if task in shared]
    if not tasks:
        return {}
    runs = min(len(by[task]) for by in played.values() for task in tasks)
    return {method: np.array([by[task][:runs] for task in tasks]) for method, by in played.items()}


def _speed(records: Sequence[CellRecord]) -> str:
    by: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for record in records:
        if "ms_per_action_1" in record.result:
            key = record.settings["task"].partition("-")[0], record.settings["method"]
            by[key].append((record.result["ms_per_action_1"], record.result["ms_per_action_10"]))
    rows = []
    for (robot, method), times in sorted(by.items()):
        alone, together = np.median(times, axis=0)
        rows.append([robot, method, f"{alone:.0f}", f"{1e3 / alone:.0f}", f"{together:.1f}", f"{1e3 / together:.0f}"])
    head = ["robot", "method", "ms per action, alone", "actions per second", "ms per action, ten together", "of them"]
    return "One thread; medians of wall time.\n\n" + markdown_table(head, rows)


def draw(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return the performance profiles, where there are several methods to compare."""
    arrays = _common(gather(records))
    return {"performance-profile": _plot(arrays)} if arrays else {}


@styled
def _plot(arrays: Mapping[str, FloatArray]) -> Figure:
    thresholds = np.linspace(0.0, 120.0, 121)
    figure = new_figure(7.0, 4.2)
    axes = figure.subplots()
    for method, array in arrays.items():
        axes.plot(thresholds, performance_profile(array, thresholds), label=method, lw=2.5 if method == _OURS else 1.2)
    axes.set(xlabel="score", ylabel="share of episodes above it", ylim=(0.0, 1.02))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    add_heading(figure, "Episodes above a score, on tasks that all finished")
    return figure


def _number(value: float) -> str:
    return f"{value:.1f}"


def _share(value: float) -> str:
    return f"{value:.2f}"
