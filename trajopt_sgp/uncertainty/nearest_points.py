"""Nearest points to queries that may be anywhere, also nowhere."""

import numpy as np
import scipy  # loads its trees when they are first used, which takes a tenth of a second

from trajopt_sgp.arrays import FloatArray, IntArray

FARTHEST = 1e150
"""What is farther away is nowhere: its square is no number any more."""


def nearest_points(tree: "scipy.spatial.cKDTree", queries: FloatArray, count: int) -> tuple[FloatArray, IntArray]:
    """Return distances and rows of the nearest points, nearest first, `(Q, d) -> (Q, count), (Q, count)`.

    A query with NaN or infinity, as a diverging plan has, or too far away for a number is NaN from the first points:
    whoever sums or bounds what is found gets NaN, which solvers know how to meet.
    """
    finite = (np.abs(queries) < FARTHEST).all(axis=1)
    lengths = np.full((len(queries), count), np.nan)
    rows = np.tile(np.arange(count), (len(queries), 1))
    lengths[finite], rows[finite] = tree.query(queries[finite], np.arange(1, count + 1))
    return lengths, rows
