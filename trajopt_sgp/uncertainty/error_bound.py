"""A bound of a function between points where it is known, from how fast it can change."""

import numpy as np
import scipy  # loads its trees when they are first used, which takes a tenth of a second
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import BoolArray, FloatArray, IntArray
from trajopt_sgp.uncertainty.found_rows import find_rows
from trajopt_sgp.uncertainty.nearest_points import nearest_points

_NEIGHBORS = 8
_GROWTH = 4


class ErrorBound:
    """b(z) = min_i (e_i + L max(|z - z_i|, r)), an upper bound of every e that changes by L per unit beyond r.

    The minimum is over all points and exact: neighbours are searched farther and farther out until none beyond them can
    be lower, since no e_i is below the smallest one.
    """

    def __init__(
        self,
        points: Float[FloatArray, "points d"],
        errors: Float[FloatArray, " points"],
        constant: float,
        resolution: float,
    ) -> None:
        """Keep points z_i, values e_i >= 0 there, L and r > 0."""
        self.points, self.errors = points, errors
        self.constant, self.resolution = constant, resolution
        self._tree = scipy.spatial.cKDTree(points)
        self._points, self._errors = torch.from_numpy(points), torch.from_numpy(errors)

    def __call__(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the bound, `(..., d) -> (...)`; differentiable, of slope zero within r of the point that decides."""
        # one row for each query, in a dimension of its own: `torch.func.vmap` takes no numbers for rows
        rows = find_rows(z, lambda queries: self.deciding_rows(queries)[..., None])
        squared = (z[..., None, :] - self._points.to(z)[rows]).square().sum(-1)
        # a root of at least r: its derivative stays finite
        bounds = self._errors.to(z)[rows] + self.constant * squared.clamp_min(self.resolution**2).sqrt()
        return bounds.squeeze(-1)

    def deciding_rows(self, z: Float[FloatArray, "*batch d"]) -> IntArray:
        """Return the number of the point at which the minimum is taken, `(..., d) -> (...)`."""
        queries = z.reshape(-1, z.shape[-1])
        rows = np.zeros(len(queries), dtype=np.int64)
        open_rows, count = np.arange(len(queries)), min(_NEIGHBORS, len(self.points))
        while len(open_rows):
            found, reach = self._best_of_nearest(queries[open_rows], count)
            rows[open_rows] = found
            open_rows = open_rows[~reach] if count < len(self.points) else open_rows[:0]
            count = min(_GROWTH * count, len(self.points))
        return rows.reshape(z.shape[:-1])

    def _best_of_nearest(self, queries: FloatArray, count: int) -> tuple[IntArray, BoolArray]:
        """Return the best of the nearest points, and whether it is the best of all."""
        distances, rows = nearest_points(self._tree, queries, count)
        reach = self.constant * np.maximum(distances, self.resolution)
        values = self.errors[rows] + reach
        best = values.argmin(axis=1)[:, None]
        lowest = np.take_along_axis(values, best, axis=1)[:, 0]
        certain = np.isnan(lowest) | (lowest <= self.errors.min() + reach[:, -1])
        return np.take_along_axis(rows, best, axis=1)[:, 0].astype(np.int64), certain
