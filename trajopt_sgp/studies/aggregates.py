"""How methods compare over many tasks with few runs of each.

Scores are arrays `(tasks, runs)`. Source: R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical
Precipice, NeurIPS 2021.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.studies.statistics import CONFIDENCE, Estimate

FloatArray = NDArray[np.float64]


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


def interquartile_mean(scores: FloatArray) -> float:
    """Return the mean of the middle half of all scores; a score on the edge of that half counts in part."""
    ordered = np.sort(np.ravel(scores))
    ranks = np.arange(len(ordered)) / len(ordered)
    low, high = np.maximum(ranks, 0.25), np.minimum(ranks + 1.0 / len(ordered), 0.75)
    weights = np.maximum(high - low, 0.0)
    return float(weights @ ordered / weights.sum())


def probability_of_improvement(scores: FloatArray, others: FloatArray) -> float:
    """Return how likely a run beats one of another method in the same task, a tie counting half, averaged over tasks.

    Raises:
        ShapeError: the methods have different numbers of tasks.
    """
    _check_tasks(scores, others)
    ahead = np.sign(scores[:, :, None] - others[:, None, :])
    return float(np.mean(0.5 + 0.5 * ahead.mean(axis=(1, 2))))


def performance_profile(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Return the share of runs above each threshold `(T,)`, averaged over tasks, `(T,)`."""
    above: FloatArray = (scores[..., None] > thresholds).mean(axis=1).mean(axis=0)
    return above


def stratified_bootstrap(
    statistic: Callable[..., float], scores: Sequence[FloatArray], generator: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """Return a statistic with its percentile bootstrap interval, the runs of every task resampled by themselves.

    Args:
        statistic: of as many arrays `(tasks, runs)` as there are methods.
        scores: of each method; methods may have different numbers of runs.
        generator: of the resamples.
        resamples: how many.

    Raises:
        ShapeError: the methods have different numbers of tasks.
    """
    _check_tasks(*scores)
    drawn = [statistic(*(_resample(array, generator) for array in scores)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2.0, 0.5 + CONFIDENCE / 2.0])
    return Estimate(float(statistic(*scores)), float(low), float(high))


def _resample(scores: FloatArray, generator: np.random.Generator) -> FloatArray:
    rows = generator.integers(0, scores.shape[1], scores.shape)
    return np.take_along_axis(scores, rows, axis=1)


def _check_tasks(*scores: FloatArray) -> None:
    shapes = [array.shape for array in scores]
    if len({shape[0] for shape in shapes}) > 1 or any(len(shape) != 2 for shape in shapes):
        raise ShapeError(f"Scores must be (tasks, runs) with the same tasks for every method, not {shapes}.")
