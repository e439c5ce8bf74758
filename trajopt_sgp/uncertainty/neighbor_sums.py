"""Weighted sums over the k nearest points to each query."""

from functools import reduce

import numpy as np
import scipy  # loads its trees when they are first used, which takes a tenth of a second

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.uncertainty.moments import Sums
from trajopt_sgp.uncertainty.nearest_points import nearest_points


class NeighborSums:
    """The k nearest of N points to each query; immutable."""

    def __init__(self, points: FloatArray, neighbors: int) -> None:
        self._points, self.neighbors, self._tree = points, neighbors, scipy.spatial.cKDTree(points)
        self._low, self._high = points.min(axis=0), points.max(axis=0)

    def __deepcopy__(self, memo: dict[int, object]) -> "NeighborSums":
        return self

    def sums(self, queries: FloatArray, sigmas: FloatArray, order: int) -> Sums:
        """Return moments about queries `(Q, d)` up to an order, 0 to 3, for noise levels `(Q,)`.

        The N - k others weigh at most as much as the farthest neighbour each.
        """
        found = nearest_points(self._tree, queries, self.neighbors)
        return self._sums(queries, sigmas, order, found, len(self._points) - self.neighbors)

    def sums_without(self, queries: FloatArray, sigmas: FloatArray, rows: IntArray) -> Sums:
        """Return the same, of order 0, with the next point in place of one that does not count for each query."""
        lengths, found = nearest_points(self._tree, queries, self.neighbors + 1)
        # among duplicates it may not have been found: then the farthest goes
        place = np.where(found == rows[:, None], np.arange(self.neighbors + 1), self.neighbors).min(axis=1)
        kept = np.arange(self.neighbors + 1) != place[:, None]
        lengths, found = (array[kept].reshape(len(queries), -1) for array in (lengths, found))
        return self._sums(queries, sigmas, 0, (lengths, found), len(self._points) - 1 - self.neighbors)

    def _sums(
        self,
        queries: FloatArray,
        sigmas: FloatArray,
        order: int,
        neighbors: tuple[FloatArray, IntArray],
        others: int,
    ) -> Sums:
        lengths, rows = neighbors
        squares = np.square(lengths)
        exponents = 0.5 * (squares[:, :1] - squares) / np.square(sigmas)[:, None]
        weights = np.exp(exponents)
        centers = self._points[rows[:, 0]]
        offsets = self._points[rows] - centers[:, None]
        left = others * weights[:, -1]
        reach = left * np.maximum(lengths[:, -1], sigmas)
        farthest = np.linalg.norm(np.maximum(queries - self._low, self._high - queries), axis=1)
        moments = tuple(_moment(weights, offsets, degree) for degree in range(order + 1))
        return Sums(centers, squares[:, 0], moments, left, reach, farthest)


def _moment(weights: FloatArray, offsets: FloatArray, degree: int) -> FloatArray:
    """Return the sum over neighbours of weights `(Q, k)` times outer products of offsets `(Q, k, d)`."""

    def times(product: FloatArray, _: int) -> FloatArray:
        return product[..., None] * offsets.reshape(*offsets.shape[:2], *[1] * (product.ndim - 2), offsets.shape[-1])

    total: FloatArray = reduce(times, range(degree), weights).sum(axis=1)
    return total
