"""Tables of the comparison, from the records of its cells."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.d4rl.beside import (
    budget_table,
    model_error_table,
    program_table,
    size_table,
    speed_table,
    true_dynamics_table,
)
from benchmarks.d4rl.protocol import METHODS
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import D4RL_TASKS
from trajopt_sgp.errors import OptionError
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.aggregates import (
    interquartile_mean,
    mean_interval,
    probability_of_improvement,
    stratified_bootstrap,
)
from trajopt_sgp.studies.d4rl.methods import OURS, PLANNERS, specification
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import Estimate

Runs = Sequence[FloatArray]
"""Scores of episodes `(episodes,)` of each seed of training."""
Scores = Mapping[str, Mapping[str, Runs]]
"""By method and task."""

_DATA = "behaviour"

_INTRODUCTION = """Scores are D4RL's: 0 a random policy, 100 an expert. Each is the mean over the episodes of all seeds
of training, 5 each, with Student's 95 % interval over the means of the seeds, wide where training differs from seed to
seed, since there are few. † marks a single seed: its interval is over episodes, and leaves out how much another
training would differ. `behaviour` is the data itself, its interval over episodes.

The data are made by `benchmarks.d4rl.collect`, 100,000 transitions each: they are not D4RL's own files, and published
scores are of others. Falls end episodes. `bc`, `10%-bc`, `td3+bc` and `iql` are d3rlpy's, after their last step of
30,000; `clone` is the policy that proposes plans. `guided` plans with one price of distance for each robot,
`one-setting` with one for all, both chosen on episodes that are not in this table; `exact` prices the smoothed
distance in closed form over all transitions, and `mppi+ensemble` and `cem+ensemble` the spread of an ensemble."""


def gather(records: Sequence[CellRecord]) -> Scores:
    """Return the scores by method and task, seeds in order; a method that plans as `guided` does has its scores."""
    found: dict[str, dict[str, list[FloatArray]]] = {method: defaultdict(list) for method in METHODS}
    for record in sorted(records, key=lambda record: record.settings.get("seed", 0)):
        method = record.settings.get("method", record.function)
        scores = record.result.get("scores")
        if scores and method in found and "transitions" not in record.settings:
            found[method][record.settings["task"]].append(np.array(scores))
    for method, task in ((method, task) for method in PLANNERS for task in found[OURS]):
        if method != OURS and found[method] and specification(method, task) == specification(OURS, task):
            found[method][task] = found[OURS][task]
    return {method: dict(by) for method, by in found.items() if by}


def page(records: Sequence[CellRecord]) -> str:
    """Return tables of scores, of aggregates, and of what is measured beside."""
    scores = gather(records)
    beside = {
        "Time per action": speed_table(records),
        "Error of the dynamics": model_error_table(records),
        "Return without it": true_dynamics_table(records),
        "Return against iterations": budget_table(records),
        "Return against data": size_table(records),
        "Planning by transcription": program_table(records),
    }
    parts = [_INTRODUCTION, _score_table(scores), "## Where it wins and where it loses", _standing(scores)]
    parts += ["## Over all tasks", _aggregates(scores)]
    return "\n\n".join(parts + [part for title, table in beside.items() if table for part in (f"## {title}", table)])


def _score_table(scores: Scores) -> str:
    tasks = [task for task in D4RL_TASKS if any(task in by for by in scores.values())]
    rows = [[task, *(_cell(by.get(task), method) for method, by in scores.items())] for task in tasks]
    return markdown_table(["task", *scores], rows)


def _cell(runs: Runs | None, method: str) -> str:
    if runs is None:
        return ""
    interval, mark = _interval(runs), " †" if len(runs) == 1 and method != _DATA else ""
    half = f" ± {interval.high - interval.value:.1f}" if interval else ""
    return f"{_mean(runs):.1f}{half}{mark}"


def _mean(runs: Runs) -> float:
    return float(np.mean(_independent(runs)))


def _independent(runs: Runs) -> FloatArray:
    """Return the means of the seeds, or the episodes of a single one."""
    return np.array([seed.mean() for seed in runs]) if len(runs) > 1 else runs[0]


def _interval(runs: Runs) -> Estimate | None:
    try:
        return mean_interval(_independent(runs))
    except OptionError:
        return None


def _standing(scores: Scores) -> str:
    """Return, for each method, the tasks where it is below `guided` and above it, each beyond both intervals."""
    ours = scores.get(OURS, {})
    rows = []
    for method, by in scores.items():
        both = [task for task in D4RL_TASKS if method != OURS and task in ours and task in by]
        if both:
            below = [task for task in both if _is_clear(by[task], ours[task])]
            above = [task for task in both if _is_clear(ours[task], by[task])]
            higher = sum(_mean(ours[task]) > _mean(by[task]) for task in both)
            rows.append([method, f"{higher} of {len(both)}", str(len(below)), ", ".join(above) or "nowhere"])
    if not rows:
        return "No task has results of two methods yet."
    head = f"`{OURS}` clearly wins or loses where the two intervals do not overlap.\n\n"
    columns = ["method", f"{OURS} has the higher mean", "clearly wins", "clearly loses"]
    return head + markdown_table(columns, rows)


def _is_clear(lower: Runs, upper: Runs) -> bool:
    below, above = _interval(lower), _interval(upper)
    return below is not None and above is not None and below.high < above.low


def _aggregates(scores: Scores) -> str:
    ours, generator = scores.get(OURS, {}), np.random.default_rng(0)
    rows = []
    for method, by in scores.items():
        shared = common({OURS: ours, method: by}) if method not in (OURS, _DATA) else {}
        if shared:
            guided, other = shared[OURS], shared[method]
            episodes = sum(len(pooled(runs)) for runs in other)
            rows.append([method, str(len(other)), str(episodes), *_middles((other, guided), generator)])
            better = stratified_bootstrap(probability_of_improvement, [guided, other], generator)
            rows[-1].append(better.text(lambda share: f"{share:.2f}"))
    if not rows:
        return "No task has results of two methods yet."
    head = "Interquartile means over the tasks that both methods have played; tasks count alike, whatever their number "
    head += "of episodes. Intervals are bootstrapped within tasks, seeds first and then episodes of each: too narrow "
    head += "where there are three seeds, and of episodes alone where there is one.\n\n"
    columns = ["method", "tasks", "episodes", "interquartile mean", f"of {OURS}", f"probability that {OURS} is better"]
    return head + markdown_table(columns, rows)


def _middles(methods: Sequence[Sequence[Runs]], generator: np.random.Generator) -> list[str]:
    number: Callable[[float], str] = "{:.1f}".format
    return [stratified_bootstrap(interquartile_mean, [tasks], generator).text(number) for tasks in methods]


def common(scores: Scores) -> dict[str, list[Runs]]:
    """Return the scores of the methods by task, for tasks that all of them have; nothing where there is none."""
    shared = set.intersection(*(set(by) for by in scores.values())) if len(scores) > 1 else set()
    tasks = [task for task in D4RL_TASKS if task in shared]
    return {method: [by[task] for task in tasks] for method, by in scores.items()} if tasks else {}


def pooled(runs: Runs) -> FloatArray:
    """Return the scores of all episodes, seed after seed."""
    return np.concatenate(runs)
