"""Where a trace is compared with the function that it stands for, and how closely."""

import math
from functools import lru_cache

import numpy as np

from trajopt_sgp.arrays import AnyArray

ROWS_AT_ONCE = 4096
"""Instances that are compared together, so that memory stays small however many plans there are."""

# Relative to the size of each entry: a change may show in a region that the point itself has just left.
_DISTANCES = (0.03, 0.3)
_LEAST_SHARE = 0.25
# Rounding differs from point to point.
_ROUNDING_MARGIN = 100.0


def probes(z: AnyArray) -> AnyArray:
    """Return points around z and z itself, the last, `(Q, ...)`: each entry moved by an irregular share, up or down.

    At z alone a change may be multiplied by zero.
    """
    moved = z + _moves(z.shape) * (1.0 + np.abs(z))
    return np.concatenate([moved, z[None]]).astype(z.dtype, copy=False)


def disagreement(found: AnyArray, expected: AnyArray) -> float:
    """Return the largest difference of values `(Q, ...)` at Q points.

    Relative to one plus the largest of the Q expected values of each entry, as entries may be of very different size;
    infinite where one is a number and the other is none, or shapes differ.
    """
    if found.shape != expected.shape:
        return math.inf
    numbers = np.isfinite(expected)
    if not np.array_equal(numbers, np.isfinite(found)):
        return math.inf
    known = np.where(numbers, expected, 0.0)
    differences = np.abs(np.where(numbers, found, 0.0) - known) / (1.0 + np.abs(known).max(axis=0))
    return float(differences.max(initial=0.0))


def allowed(observed: float, least: float) -> float:
    """Return the disagreement that is allowed of a trace, after that of a new one; infinite where nothing can be said.

    Where large numbers cancel, rounding alone is more than `least`.
    """
    return max(least, _ROUNDING_MARGIN * observed)


@lru_cache(maxsize=32)
def _moves(shape: tuple[int, ...]) -> AnyArray:
    """Return by which part of its size each entry of points `shape` moves, `(Q - 1, *shape)`."""
    generator = np.random.default_rng(0)
    shares = generator.uniform(_LEAST_SHARE, 1.0, (len(_DISTANCES), *shape))
    signs = generator.choice([-1.0, 1.0], shares.shape)
    moves: AnyArray = np.reshape(_DISTANCES, (-1, *[1] * len(shape))) * shares * signs
    return moves
