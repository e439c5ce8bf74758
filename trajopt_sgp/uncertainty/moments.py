"""From weighted sums over data to the smoothed distance, its derivatives and bounds of their errors.

With weights w_i = exp(-|z - z_i|^2 / (2 sigma^2)) / S, S their sum before, mean m, covariance C and third central
moment K of the data under them:

    d = -sigma^2 log S,    d' = z - m,    d'' = I - C / sigma^2,    d''' = -K / sigma^4.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product
from math import comb

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray

HIGHEST_ORDER = 3
"""Of the derivatives in closed form."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the points p of weights w = exp((nearest - |p - z|^2) / (2 sigma^2)) and their moments, Q queries."""

    centers: FloatArray
    """c, about which moments are taken, `(Q, d)`."""
    nearest: FloatArray
    """Squared distance of the nearest point, `(Q,)`."""
    moments: tuple[FloatArray, ...]
    """Sums of w, w (p - c), w (p - c) (p - c)', ...: `(Q,)`, `(Q, d)`, `(Q, d, d)`, `(Q, d, d, d)` up to an order."""
    left: FloatArray
    """What the points left out weigh at most, `(Q,)`."""
    left_reach: FloatArray
    """What the sum over them of w |p - z| is at most, `(Q,)`."""
    farthest: FloatArray
    """How far from z any point is at most, `(Q,)`."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """d_sigma at Q points with its derivatives up to an order, and bounds of the errors of what was left out."""

    derivatives: tuple[FloatArray, ...]
    """Value `(Q,)`, gradient `(Q, d)`, Hessian `(Q, d, d)`, third derivative `(Q, d, d, d)`, up to an order."""
    value_error: FloatArray
    """The value is too large by no more than this, `(Q,)`."""
    gradient_error: FloatArray
    """The gradient is off by a vector no longer than this, `(Q,)`; infinite where no gradient was computed."""


def expand(sums: Sums, queries: FloatArray, sigmas: FloatArray) -> Expansion:
    """Return the smoothed distance at queries `(Q, d)` from its sums, for noise levels `(Q,)`."""
    total, variances, order = sums.moments[0], np.square(sigmas), len(sums.moments) - 1
    means = [moment / total.reshape(-1, *[1] * (moment.ndim - 1)) for moment in sums.moments]
    derivatives = [0.5 * sums.nearest - variances * np.log(total)]
    if order >= 1:
        derivatives.append((queries - sums.centers) - means[1])
    if order >= 2:
        covariance = means[2] - means[1][:, :, None] * means[1][:, None, :]
        derivatives.append(np.eye(queries.shape[1]) - covariance / variances[:, None, None])
    if order >= 3:
        derivatives.append(-_third_central(*means[1:]) / np.square(variances)[:, None, None, None])
    gradient_error = np.full(len(queries), np.inf)
    if order >= 1:
        share = sums.left / (total + sums.left)
        reach = np.minimum(sums.left_reach / total, sums.farthest * share)
        gradient_error = reach + np.linalg.norm(derivatives[1], axis=1) * share
    return Expansion(tuple(derivatives), variances * (np.log(total + sums.left) - np.log(total)), gradient_error)


def _third_central(first: FloatArray, second: FloatArray, third: FloatArray) -> FloatArray:
    mixed = first[:, :, None, None] * second[:, None, :, :]
    cube = first[:, :, None, None] * first[:, None, :, None] * first[:, None, None, :]
    central: FloatArray = third - mixed - mixed.swapaxes(1, 2) - mixed.transpose(0, 2, 3, 1) + 2.0 * cube
    return central


def moment_count(size: int, order: int) -> int:
    """Return how many different entries the moments up to an order of vectors of some size have together."""
    return comb(size + order, order)


def unpack(
    packed: FloatArray, centers: FloatArray, order: int, nearest: FloatArray, left: FloatArray, farthest: FloatArray
) -> Sums:
    """Return sums whose moments stand one after another, each entry once, `(Q, moment_count)`; left `(Q, 2)`."""
    moments, start = [packed[:, 0]], 1
    for degree in range(1, order + 1):
        index = _places(centers.shape[1], degree)
        moments.append(packed[:, start:][:, index])
        start += int(index.max()) + 1
    return Sums(centers, nearest, tuple(moments), left[:, 0], left[:, 1], farthest)


@cache
def _places(size: int, degree: int) -> IntArray:
    """Return which entry k >= l >= m ..., in lexicographic order, stands for each entry of a symmetric tensor."""
    names = [tuple(reversed(c)) for c in combinations_with_replacement(range(size), degree)]
    place = {name: i for i, name in enumerate(sorted(names))}
    every = [place[tuple(sorted(name, reverse=True))] for name in product(range(size), repeat=degree)]
    return np.array(every, dtype=np.int64).reshape([size] * degree)
