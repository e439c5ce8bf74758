"""Points sorted into blocks of neighbours, for weighted sums over those that count."""

import math
from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.uncertainty.moments import Sums, moment_count, unpack

_BLOCK, _GROUP = 256, 16
# With it, the sum and the sum with all that was left out are the same number in double precision.
_NEGLIGIBLE = 2.0**-54


@dataclass(frozen=True, eq=False)
class PointBlocks:
    """N points, sorted such that blocks of 256 neighbours, and groups of 16 blocks, are contiguous."""

    columns: FloatArray
    """The points, sorted, `(d, N)`."""
    rows: IntArray
    """Where each of them stood before, `(N,)`."""
    boxes: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    """Lower and upper corners of the blocks, `(blocks, d)` each, then those of the groups."""

    @classmethod
    def of(cls, points: FloatArray) -> "PointBlocks":
        """Sort points `(N, d)`."""
        columns, rows = _sorted(points)
        return cls(columns, rows, (*_corners(columns, _BLOCK), *_corners(columns, _BLOCK * _GROUP)))

    def __deepcopy__(self, memo: dict[int, object]) -> "PointBlocks":
        return self

    def nearest(self, queries: FloatArray, excluded: IntArray | None = None) -> tuple[FloatArray, IntArray]:
        """Return the squared distance of queries `(Q, d)` to the nearest point, and its place among the columns."""
        # compiled code is loaded where it is first used, not by every import of the package
        from trajopt_sgp.uncertainty import block_kernels

        squares, places = np.empty(len(queries)), np.empty(len(queries), dtype=np.int64)
        left_out = _excluded(excluded, len(queries))
        points, work = (self.columns, self.boxes, (_BLOCK, _GROUP)), np.empty(_BLOCK)
        block_kernels.nearest(queries, *points, left_out, work, squares, places)
        return squares, places

    def sums(
        self,
        queries: FloatArray,
        sigmas: FloatArray,
        order: int,
        tolerance: float | None = None,
        excluded: IntArray | None = None,
    ) -> Sums:
        """Return moments of the points about queries, up to an order.

        Args:
            queries: z, `(Q, d)`.
            sigmas: `(Q,)`.
            order: 0 to 3.
            tolerance: what the value may err by for the points left out; None: nothing, to rounding.
            excluded: place among the columns of a point that does not count, or -1, `(Q,)`.
        """
        from trajopt_sgp.uncertainty import block_kernels

        squares, places = self.nearest(queries, excluded)
        d, count = self.columns.shape
        packed, left = np.zeros((len(queries), moment_count(d, order))), np.zeros((len(queries), 2))
        scales = 0.5 / (np.square(sigmas) * math.log(2.0))
        shares = _shares(sigmas, tolerance) / count
        data = self.columns, self.boxes, (_BLOCK, _GROUP), _excluded(excluded, len(queries))
        buffers = np.empty((d, _BLOCK)), np.empty(_BLOCK), np.empty(_BLOCK), np.empty((2, _BLOCK))
        block_kernels.add_sums(queries, scales, shares, *data, order, squares, places, buffers, packed, left)
        centers = np.zeros_like(queries) if order < 2 else self.columns[:, places].T
        low, high = self.boxes[2].min(axis=0), self.boxes[3].max(axis=0)
        farthest = np.linalg.norm(np.maximum(queries - low, high - queries), axis=1)
        return unpack(packed, centers, order, squares, left, farthest)

    def sums_without(self, queries: FloatArray, sigmas: FloatArray, rows: IntArray) -> Sums:
        """Return moments of order 0 where for each query one point does not count, by its row before sorting."""
        places = np.empty(len(self.rows), dtype=np.int64)
        places[self.rows] = np.arange(len(places))
        return self.sums(queries, sigmas, 0, excluded=places[rows])


def _shares(sigmas: FloatArray, tolerance: float | None) -> FloatArray:
    """Return the share of the sum that may be left out: sigma^2 log(1 + share) is the error of the value."""
    if tolerance is None:
        return np.full(len(sigmas), _NEGLIGIBLE)
    shares: FloatArray = np.maximum(_NEGLIGIBLE, np.expm1(np.minimum(tolerance / np.square(sigmas), 700.0)))
    return shares


def _excluded(places: IntArray | None, count: int) -> IntArray:
    return np.full(count, -1, dtype=np.int64) if places is None else places


def _sorted(points: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return points in columns `(d, N)`, halved again and again along their widest coordinate, and their rows.

    Every half has a power of two of blocks but the last, so that groups are halves as well.
    """
    work, rows = np.array(points, dtype=np.float64, order="C"), np.arange(len(points))
    parts = [(0, len(points))]
    while parts:
        start, stop = parts.pop()
        blocks = -(-(stop - start) // _BLOCK)
        if blocks < 2:
            continue
        part = work[start:stop]
        widest = int(np.argmax(np.ptp(part, axis=0)))
        middle = _BLOCK << ((blocks - 1).bit_length() - 1)
        order = np.argpartition(part[:, widest], middle)
        work[start:stop], rows[start:stop] = part[order], rows[start:stop][order]
        parts += [(start, start + middle), (start + middle, stop)]
    return np.ascontiguousarray(work.T), rows


def _corners(columns: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    starts = np.arange(0, columns.shape[1], size)
    corners = (np.ascontiguousarray(f.reduceat(columns, starts, axis=1).T) for f in (np.minimum, np.maximum))
    return next(corners), next(corners)
