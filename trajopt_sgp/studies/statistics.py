"""Confidence intervals of what studies report."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError

CONFIDENCE = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval, which are NaN where it has none."""

    value: float
    """The number itself."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def text(self, form: Callable[[float], str]) -> str:
        """Return number and interval, for example "97 % (93 % to 99 %)", or "97 % (no interval)"."""
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{form(self.value)} (no interval)"
        return f"{form(self.value)} ({form(self.low)} to {form(self.high)})"


def success_rate(successes: int, trials: int) -> Estimate:
    """Return a share with its Wilson score interval (Wilson 1927), which holds also at 0 and 1.

    Raises:
        OptionError: there are no trials, or fewer than successes.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise OptionError(f"{successes} successes of {trials} trials: no share can be estimated.")
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def bootstrap(
    values: ArrayLike,
    generator: np.random.Generator,
    statistic: Callable[[FloatArray], FloatArray] = lambda samples: np.median(samples, axis=1),
    resamples: int = 1000,
) -> Estimate:
    """Return a statistic, the median unless said, with its percentile bootstrap interval (Efron 1979).

    One value alone has no interval.

    Args:
        values: independent observations `(n, ...)`.
        generator: of the resamples.
        statistic: of each of many samples, `(samples, n, ...) -> (samples,)`.
        resamples: how many.

    Raises:
        OptionError: there are no values.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise OptionError("No values, so no bootstrap interval.")
    count, value = len(array), float(statistic(array[None])[0])
    if count == 1:
        return Estimate(value, math.nan, math.nan)
    drawn = statistic(array[generator.integers(0, count, (resamples, count))])
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2.0, 0.5 + CONFIDENCE / 2.0])
    return Estimate(value, float(low), float(high))


def percent(share: float) -> str:
    """Return a share for tables, for example "97 %"."""
    return f"{100.0 * share:.0f} %"
