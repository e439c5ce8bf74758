"""The reverse Weibull distribution fitted to maxima: an estimate of the largest value that could occur, and its limit.

Maxima of many bounded values follow F(x) = exp(-((l - x) / s)^c) for x < l, with location l, scale s and shape c: their
largest possible value is l (Fisher, Tippett, Gnedenko). Sources: G. R. Wood and B. P. Zhang, Estimation of the
Lipschitz constant of a function, J. Global Optimization 8 (1996); S. Coles, An Introduction to Statistical Modeling of
Extreme Values, 2001, for the profile likelihood.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2, kstest, weibull_max

FloatArray = NDArray[np.float64]

SIGNIFICANCE = 0.05
"""Fits whose Kolmogorov-Smirnov p-value is below this are refused."""

_GRID = np.linspace(np.log(1e-5), np.log(1e4), 121)
_LARGEST_SHAPE = 1e7


@dataclass(frozen=True)
class ReverseWeibullFit:
    """A fit by maximum likelihood, and whether it can be trusted."""

    location: float
    """l, estimate of the largest possible value; infinite where there is none."""
    upper: float
    """Upper confidence limit of l by profile likelihood; infinite where the maxima do not limit it. With 100 maxima a
    limit of nominally 95 % holds in 85 to 90 % of cases."""
    scale: float
    """s."""
    shape: float
    """c; below 2 the maxima crowd at their end and confidence limits are rough."""
    p_value: float
    """Of the Kolmogorov-Smirnov test. It is too large, since the distribution was fitted to the same maxima."""
    fault: str = ""
    """Why the fit must not be used; empty if it may be."""


def fit_reverse_weibull(maxima: FloatArray, confidence: float = 0.95) -> ReverseWeibullFit:
    """Fit the reverse Weibull distribution to maxima `(k,)` and bound its location from above.

    The likelihood has no largest value for shapes below 1; the fit is the best one with a shape of at least 1. The
    upper limit is where the profile likelihood of the location has fallen by half the chi-square quantile, one-sided.

    Args:
        maxima: of blocks of equally many values.
        confidence: of the upper limit, above 0.5.
    """
    largest, spread = float(maxima.max()), float(np.ptp(maxima))
    if len(maxima) < 3 or not spread > 0.0:
        return _failed(largest, "the maxima are all alike")
    profile = _Profile((largest - maxima) / spread)
    heights = np.array([profile.height(offset) for offset in _GRID])
    best = int(heights.argmax())
    if best == 0 or heights[best - 1] == -np.inf:
        return _failed(largest, "the maxima crowd at their largest value: the shape is below 1")
    if best == len(_GRID) - 1:
        return _failed(largest, "the maxima show no finite end: a longer tail fits them as well")
    offset = profile.refine(_GRID[best - 1], _GRID[best + 1])
    limit = profile.limit(offset, 0.5 * float(chi2.ppf(2.0 * confidence - 1.0, df=1)))
    shape, scale = profile.shape_and_scale(offset)
    location = largest + spread * float(np.exp(offset))
    p_value = float(kstest(maxima, weibull_max(shape, location, spread * scale).cdf).pvalue)
    upper = largest + spread * float(np.exp(limit))
    return ReverseWeibullFit(location, upper, spread * scale, shape, p_value, _fault(upper, p_value))


def _fault(upper: float, p_value: float) -> str:
    if p_value < SIGNIFICANCE:
        return f"the maxima do not follow the distribution (Kolmogorov-Smirnov p = {p_value:.2g})"
    return "" if np.isfinite(upper) else "the maxima do not limit the location from above"


def _failed(largest: float, fault: str) -> ReverseWeibullFit:
    return ReverseWeibullFit(largest, np.inf, np.inf, np.inf, 0.0, fault)


class _Profile:
    """The likelihood of the location, largest over scale and shape, by o = log(l - largest maximum)."""

    def __init__(self, below: FloatArray) -> None:
        self.below = below
        """Largest maximum minus maxima, in units of their range."""

    def shape_and_scale(self, offset: float) -> tuple[float, float]:
        """Return the maximum-likelihood shape and scale for an offset."""
        lengths = self.below + np.exp(offset)
        top = lengths.max()
        logs = np.log(lengths / top)
        mean = logs.mean()

        def slope(log_shape: float) -> float:
            shape = np.exp(log_shape)
            weights = np.exp(shape * logs)
            return float((weights * logs).sum() / weights.sum() - 1.0 / shape - mean)

        shape = float(np.exp(brentq(slope, np.log(1e-3), np.log(_LARGEST_SHAPE))))
        return shape, float(top * np.mean(np.exp(shape * logs)) ** (1.0 / shape))

    def height(self, offset: float) -> float:
        """Return the profile likelihood; minus infinity where the best shape is below 1."""
        shape, scale = self.shape_and_scale(offset)
        if shape < 1.0:
            return -np.inf
        logs = np.log((self.below + np.exp(offset)) / scale)
        return float(len(logs) * (np.log(shape / scale) - 1.0) + (shape - 1.0) * logs.sum())

    def refine(self, low: float, high: float) -> float:
        """Return the offset of the largest height between two."""
        return float(minimize_scalar(lambda offset: -self.height(offset), bounds=(low, high), method="bounded").x)

    def limit(self, offset: float, drop: float) -> float:
        """Return the offset above at which the height has fallen by `drop`, or infinity."""
        level = self.height(offset) - drop
        if self.height(_GRID[-1]) > level:
            return np.inf
        return float(brentq(lambda other: self.height(other) - level, offset, _GRID[-1]))
