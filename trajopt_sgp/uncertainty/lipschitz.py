"""The Lipschitz constant of a function known at points alone, such as the error of a learned model.

Sources: G. R. Wood and B. P. Zhang, Estimation of the Lipschitz constant of a function, J. Global Optimization 8
(1996); C. Knuth, G. Chou, N. Ozay, D. Berenson, Planning with learned dynamics: probabilistic guarantees on safety and
reachability via Lipschitz constants, RA-L 2021 (arXiv 2010.08993).

What comes out is an estimate, never a bound. Slopes to neighbours fall short of the constant where no neighbour lies
along the steepest direction, by more the more coordinates there are, and the statistics of maxima cannot tell what was
not met.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy  # loads its trees when they are first used, which takes a tenth of a second
from jaxtyping import Float

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.uncertainty.reverse_weibull import fit_reverse_weibull

_RESOLUTION_SHARE = 0.1
_FEWEST_POINTS = 20
_BLOCKS = 100
_FEWEST_SLOPES = 10


@dataclass(frozen=True)
class LipschitzEstimate:
    """How fast a function of z changes: |e(z) - e(z')| <= constant * max(|z - z'|, resolution)."""

    maximal_slope: float
    """Largest slope between neighbours: a lower bound of the true constant, in five dimensions down to half of it."""
    location: float
    """Estimate of the constant: end of the reverse Weibull distribution of block maxima of slopes."""
    upper: float
    """Limit above the estimate for its sampling error alone, not a bound of the constant; infinite where there is
    none."""
    shape: float
    """Shape of the distribution."""
    p_value: float
    """Of the Kolmogorov-Smirnov test of the fit."""
    fault: str
    """Why the fit is not used; empty if it is."""
    confidence: float
    """Nominal, of that limit as one of the location; the true constant is above it far more often."""
    resolution: float
    """Points closer than this count as this far apart."""
    pairs: int
    """Pairs of neighbours that were compared."""

    @property
    def constant(self) -> float:
        """The constant to use: the limit, or the maximal slope where the fit has failed; never below a slope met."""
        return self.maximal_slope if self.fault else self.upper

    def __str__(self) -> str:
        slope = f"maximal slope {self.maximal_slope:.3g} over {self.pairs} pairs of neighbours"
        if self.fault:
            return f"L = {slope}, a lower bound; no extreme-value estimate: {self.fault}"
        return (
            f"L = {self.upper:.3g}, an estimate of {self.location:.3g} with a limit of nominally "
            f"{100.0 * self.confidence:.3g} % for its sampling error, not a bound ({slope})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, what is not finite as None."""
        values = asdict(self)
        return {name: value if isinstance(value, str) or np.isfinite(value) else None for name, value in values.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "LipschitzEstimate":
        """Rebuild an estimate from `to_json`; raises TypeError on entries that do not fit."""
        values: dict[str, Any] = {name: np.inf if value is None else value for name, value in document.items()}
        return cls(**values)


def estimate_lipschitz(
    points: Float[FloatArray, "points d"],
    values: Float[FloatArray, " points"],
    generator: np.random.Generator | None = None,
    neighbors: int = 8,
    confidence: float = 0.95,
    resolution: float | None = None,
) -> LipschitzEstimate:
    """Estimate the Lipschitz constant of a function from its values at points.

    Slopes between every point and its nearest neighbours are dealt at random into 100 blocks, fewer where a block would
    have less than 10; the maxima of the blocks are fitted. Measured or rounded values differ at repeated points, and no
    slope over a vanishing distance means anything: points closer than `resolution` count as `resolution` apart, and
    bounds must do the same.

    The limit is no bound of the constant: docs/certificate.md has how often it covers that of known functions. What
    holds of a certificate is its calibration on executed plans.

    Args:
        points: z, in coordinates in which one unit means the same everywhere.
        values: e(z).
        generator: source of the blocks, by default seeded with 0.
        neighbors: nearest neighbours of each point.
        confidence: nominal, of the limit for the sampling error, in (0.5, 1).
        resolution: in the units of z; default: a tenth of the median distance to the nearest other point.

    Raises:
        DatasetError: fewer than 20 points, or half of them coincide and there is no resolution.
        ShapeError: points and values do not have the shapes `(K, d)` and `(K,)`.
        NotFiniteError: a point or a value is NaN or infinite; names it.
        OptionError: an option is out of range.
    """
    _check_samples(points, values)
    if len(points) < _FEWEST_POINTS:
        raise DatasetError(f"A Lipschitz constant needs at least {_FEWEST_POINTS} points, not {len(points)}.")
    if not (neighbors >= 1 and 0.5 < confidence < 1.0 and (resolution is None or resolution > 0.0)):
        raise OptionError(
            f"neighbors = {neighbors}, confidence = {confidence}, resolution = {resolution}: neighbors must be at "
            "least 1, the confidence between 0.5 and 1, the resolution positive or None."
        )
    distances, rows = scipy.spatial.cKDTree(points).query(points, min(neighbors + 1, len(points)))
    if resolution is None:
        resolution = _RESOLUTION_SHARE * float(np.median(distances[:, 1]))
        if not resolution > 0.0:
            raise DatasetError("Half of the points coincide with others: say with resolution= what counts as close.")
    slopes = _slopes(distances, rows, values, resolution)
    maxima = block_maxima(slopes, numpy_generator(generator))
    fit = fit_reverse_weibull(maxima, confidence)
    return LipschitzEstimate(
        maximal_slope=float(slopes.max()),
        location=fit.location,
        upper=fit.upper,
        shape=fit.shape,
        p_value=fit.p_value,
        fault=fit.fault,
        confidence=confidence,
        resolution=resolution,
        pairs=len(slopes),
    )


def _check_samples(points: FloatArray, values: FloatArray) -> None:
    if np.ndim(points) != 2 or np.shape(values) != (len(points),):
        raise ShapeError(
            f"A Lipschitz constant needs points (K, d) and as many values (K,), not {np.shape(points)} and "
            f"{np.shape(values)}."
        )
    for name, array in (("point", points), ("value", values)):
        finite = np.isfinite(array).reshape(len(points), -1).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise NotFiniteError(f"A Lipschitz constant needs finite numbers: {name} {row} is {array[row]}.")


def _slopes(distances: FloatArray, rows: IntArray, values: FloatArray, resolution: float) -> FloatArray:
    """Return the slope of every pair of neighbours once."""
    first = np.repeat(np.arange(len(rows)), rows.shape[1])
    second = rows.ravel()
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    _, chosen = np.unique(pairs, axis=0, return_index=True)
    chosen = chosen[first[chosen] != second[chosen]]
    change = np.abs(values[first[chosen]] - values[second[chosen]])
    slopes: FloatArray = change / np.maximum(distances.ravel()[chosen], resolution)
    return slopes


def block_maxima(slopes: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return the largest of slopes `(k,)` in each of up to 100 blocks that they are dealt into at random."""
    blocks = max(1, min(_BLOCKS, len(slopes) // _FEWEST_SLOPES))
    size = len(slopes) // blocks
    dealt = generator.permutation(slopes)
    # what does not fill a block goes, but never the largest slope
    largest = int(dealt.argmax())
    dealt[[0, largest]] = dealt[[largest, 0]]
    maxima: FloatArray = dealt[: blocks * size].reshape(blocks, size).max(axis=1)
    return maxima
