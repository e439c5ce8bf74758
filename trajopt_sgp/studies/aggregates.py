"""How methods compare over many tasks with few runs of each.

Scores of a method are those of its runs, `(runs,)` for each task; tasks may differ in the number of runs, and count
alike. Source: R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
"""

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
from scipy.stats import t as student

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.studies.statistics import CONFIDENCE, Estimate

TaskScores = Collection[FloatArray]
"""By task, those of runs `(runs,)`; an array `(tasks, runs)` is one."""
SeedScores = Collection[Collection[FloatArray]]
"""By task and seed of training, those of episodes `(episodes,)`; an array `(tasks, seeds, episodes)` is one."""


def mean_interval(runs: FloatArray) -> Estimate:
    """Return the mean of independent runs `(R,)` with Student's interval.

    Raises:
        OptionError: there are fewer than two runs.
    """
    count = len(runs)
    if count < 2:
        raise OptionError(f"{count} runs: an interval of their mean needs at least two.")
    mean, error = float(np.mean(runs)), float(np.std(runs, ddof=1)) / np.sqrt(count)
    half = float(student.ppf(0.5 + CONFIDENCE / 2.0, count - 1)) * error
    return Estimate(mean, mean - half, mean + half)


def interquartile_mean(scores: TaskScores) -> float:
    """Return the mean of the middle half of all scores; a score on the edge of that half counts in part."""
    pooled = np.concatenate([*scores])
    order = np.argsort(pooled, kind="stable")
    counts = np.array([len(runs) for runs in scores])
    shares = np.repeat(1.0 / (counts * len(counts)), counts)[order]
    ends = np.cumsum(shares)
    weights = np.maximum(np.minimum(ends, 0.75) - np.maximum(ends - shares, 0.25), 0.0)
    return float(weights @ pooled[order] / weights.sum())


def probability_of_improvement(scores: TaskScores, others: TaskScores) -> float:
    """Return how likely a run beats one of another method in the same task, a tie counting half, averaged over tasks.

    Raises:
        ShapeError: the methods have different numbers of tasks.
    """
    _check_tasks(scores, others)
    ahead = [np.sign(ours[:, None] - theirs).mean() for ours, theirs in zip(scores, others, strict=True)]
    return float(0.5 + 0.5 * np.mean(ahead))


def performance_profile(scores: TaskScores, thresholds: FloatArray) -> FloatArray:
    """Return the share of runs above each threshold `(T,)`, averaged over tasks, `(T,)`."""
    above: FloatArray = np.mean([(runs[:, None] > thresholds).mean(axis=0) for runs in scores], axis=0)
    return above


def stratified_bootstrap(
    statistic: Callable[..., float], scores: Sequence[SeedScores], generator: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """Return a statistic with its percentile bootstrap interval, every task resampled by itself.

    Of a task seeds are drawn, and then episodes of each: those of one seed share what its training has become. Where
    there is one seed, episodes alone vary. Of few seeds the interval is too narrow: S seeds show (S-1)/S of their
    variance. A task with a single episode has no interval, nor has the statistic then.

    Args:
        statistic: of the scores by task, `(runs,)` each, of as many methods as there are.
        scores: of each method; methods may have different numbers of runs.
        generator: of the resamples.
        resamples: how many.

    Raises:
        ShapeError: the methods have different numbers of tasks, or scores are not by task and seed.
    """
    _check_tasks(*scores)
    strata = [[_Stratum([*seeds]) for seeds in tasks] for tasks in scores]
    value = float(statistic(*([task.episodes for task in tasks] for tasks in strata)))
    if any(len(task.episodes) < 2 for tasks in strata for task in tasks):
        return Estimate(value, math.nan, math.nan)
    methods = [zip(*(task.draw(resamples, generator) for task in tasks), strict=True) for tasks in strata]
    drawn = [statistic(*drawn) for drawn in zip(*methods, strict=True)]
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2.0, 0.5 + CONFIDENCE / 2.0])
    return Estimate(value, float(low), float(high))


class _Stratum:
    """The episodes of one task, seed after seed."""

    def __init__(self, seeds: Sequence[FloatArray]) -> None:
        if any(np.ndim(runs) != 1 for runs in seeds):
            raise ShapeError("Scores of a task are (episodes,) for each seed: give runs alone as scores[:, None, :].")
        self.episodes: FloatArray = np.concatenate(seeds)
        self._counts = np.array([len(runs) for runs in seeds])
        self._starts = np.cumsum(self._counts) - self._counts

    def draw(self, resamples: int, generator: np.random.Generator) -> list[FloatArray]:
        """Return episodes drawn of seeds that are drawn, many times."""
        seeds = generator.integers(0, len(self._counts), (resamples, len(self._counts)))
        counts = self._counts[seeds]
        within = generator.integers(0, np.repeat(counts, counts.ravel()))
        drawn = self.episodes[np.repeat(self._starts[seeds], counts.ravel()) + within]
        return np.split(drawn, np.cumsum(counts.sum(axis=1))[:-1])


def _check_tasks(*scores: Collection[object]) -> None:
    counts = [len(tasks) for tasks in scores]
    if len(set(counts)) > 1 or not all(counts):
        raise ShapeError(f"Scores must be of the same tasks for every method, one at least, not of {counts} tasks.")
