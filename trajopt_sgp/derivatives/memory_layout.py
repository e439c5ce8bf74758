"""How matrices lie in memory so that the machine multiplies them fast."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import AnyArray

# Bytes that a processor loads at once, and a distance at which rows push one another out of its first cache.
_LINE, _CONFLICT = 64, 4096


def aligned_zeros(size: int, dtype: "np.dtype[Any]") -> AnyArray:
    """Return zeros, `(size,)`, that begin at a cache line."""
    return _aligned(np.zeros(size * dtype.itemsize + _LINE, dtype=np.uint8), size, dtype)


def aligned_empty(size: int, dtype: "np.dtype[Any]") -> AnyArray:
    """Return what has no values yet, `(size,)`, and begins at a cache line."""
    return _aligned(np.empty(size * dtype.itemsize + _LINE, dtype=np.uint8), size, dtype)


def aligned(parts: list[AnyArray], dtype: "np.dtype[Any]") -> AnyArray:
    """Return parts one after the other, in an array that begins at a cache line."""
    joined = np.concatenate(parts)
    array = aligned_empty(len(joined), dtype)
    array[:] = joined
    return array


def next_line(offset: int, itemsize: int) -> int:
    """Return the first offset from one on at which a cache line begins, in entries."""
    entries = _LINE // itemsize
    return -(-offset // entries) * entries


def row_length(columns: int, itemsize: int) -> int:
    """Return the entries from one row of a matrix to the next: a line more where rows would conflict."""
    return columns + _LINE // itemsize if columns * itemsize % _CONFLICT == 0 else columns


def with_row_length(matrix: Tensor, itemsize: int) -> Tensor:
    """Return a matrix `(k, m)` with zeros behind its rows, `(k, row_length(m))`."""
    columns = matrix.shape[1]
    return torch.nn.functional.pad(matrix, (0, row_length(columns, itemsize) - columns))


def _aligned(memory: "np.ndarray[Any, np.dtype[np.uint8]]", size: int, dtype: "np.dtype[Any]") -> AnyArray:
    start = -memory.ctypes.data % _LINE
    array: AnyArray = memory[start : start + size * dtype.itemsize].view(dtype)
    return array
