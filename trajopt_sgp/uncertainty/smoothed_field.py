"""The smoothed distance to points as a field: in chunks of queries, and remembering the last of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.uncertainty.moments import HIGHEST_ORDER, Expansion, Sums, expand
from trajopt_sgp.uncertainty.nearest_points import FARTHEST

MakeSums = Callable[[FloatArray, FloatArray, int], Sums]
"""Queries `(Q, d)`, noise levels `(Q,)` and the order of the moments to the sums over the points."""

_NUMBERS_REMEMBERED = 1_000_000


class SmoothedField:
    """d_sigma and its derivatives at z `(..., d)`, in float64 whatever the type of z."""

    highest_order = HIGHEST_ORDER

    def __init__(self, sums: MakeSums, chunk: int) -> None:
        self._sums, self._chunk = sums, chunk
        self._last: tuple[FloatArray, FloatArray, Expansion] | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> "SmoothedField":
        return self

    def derivative(self, z: Tensor, sigma: Tensor, order: int, expected: int) -> Tensor:
        """Return the derivative of an order at z `(..., d)`, sigma `(..., 1)`: `(..., d, ..., d)`."""
        found = self.expansion(z, sigma, order, expected).derivatives[order]
        return as_batch(found, np.broadcast_shapes(z.shape[:-1], sigma.shape[:-1]), z)

    def expansion(self, z: Tensor, sigma: Tensor, order: int, expected: int = 0) -> Expansion:
        """Return all derivatives up to an order for the Q places of z, sigma: the last ones where they are the same."""
        queries, sigmas = _rows(z, sigma)
        last = self._last
        if last is not None and len(last[2].derivatives) > order and _same(last[0], queries) and _same(last[1], sigmas):
            return last[2]
        found = self._expand(queries, sigmas, max(order, expected))
        size = queries.size * queries.shape[1] ** max(order, expected)
        self._last = (queries, sigmas, found) if size <= _NUMBERS_REMEMBERED else None
        return found

    def _expand(self, queries: FloatArray, sigmas: FloatArray, order: int) -> Expansion:
        parts = []
        for start in range(0, max(1, len(queries)), self._chunk):
            some, levels = (array[start : start + self._chunk] for array in (queries, sigmas))
            parts.append(expand(self._sums(some, levels, order), some, levels))
        derivatives = tuple(np.concatenate([part.derivatives[k] for part in parts]) for k in range(order + 1))
        errors = (np.concatenate([getattr(p, name) for p in parts]) for name in ("value_error", "gradient_error"))
        return Expansion(derivatives, *errors)


def as_batch(array: FloatArray, batch: tuple[int, ...], like: Tensor) -> Tensor:
    """Return an array `(Q, ...)` as a new tensor `(*batch, ...)` of the type and on the device of another."""
    return torch.tensor(array.reshape(batch + array.shape[1:])).to(like)


def _rows(z: Tensor, sigma: Tensor) -> tuple[FloatArray, FloatArray]:
    batch = torch.broadcast_shapes(z.shape[:-1], sigma.shape[:-1])  # type: ignore[no-untyped-call]
    queries, sigmas = (
        t.detach().expand(*batch, t.shape[-1]).reshape(-1, t.shape[-1]).cpu().to(torch.float64).numpy()
        for t in (z, sigma)
    )
    # a copy, because what is remembered must not change with the caller's tensor
    copied = np.array(queries, order="C")
    copied[np.abs(copied) > FARTHEST] = np.nan
    return copied, np.array(sigmas[:, 0])


def _same(first: FloatArray, second: FloatArray) -> bool:
    return first is second or np.array_equal(first, second)
