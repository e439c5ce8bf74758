"""What the compiled loops need for matrix products: SciPy's BLAS, as all compiled kernels."""

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba.extending import get_cython_function_address
from numpy.typing import NDArray

from trajopt_sgp.arrays import AnyArray

_NAMES = {"d": "dgemm", "f": "sgemm"}

# Up to so many multiplications OpenBLAS multiplies as matrices lie in memory, without copying them into its own order.
_SMALL_PRODUCT = 1_000_000
# Rows that go through a step together: in small products, and in others, which are better the larger they are.
_LEAST_ROWS, _SMALL_ROWS, _ROWS = 8, 32, 64


@cache
def gemm_address(kind: str) -> int:
    """Return the address of `dgemm` or `sgemm` with Fortran's calling convention, for "d" or "f".

    Not that of PyTorch: on AMD's processors MKL takes a third longer, and seven times as long where few numbers come
    out.
    """
    return int(get_cython_function_address("scipy.linalg.cython_blas", _NAMES[kind]))


_SIZES = np.zeros(4, dtype=np.int32)
_SIZES.view(np.uint8)[12] = ord("N")
_ONES: dict[str, AnyArray] = {"f": np.ones(1, np.float32), "d": np.ones(1)}


def product_arguments(dtype: "np.dtype[Any]") -> tuple[int, NDArray[np.int32], AnyArray]:
    """Return what the loops need for products in a precision.

    The address; room for three sizes, and the letter N for both factors as they are, `(4,)`, for one caller alone; and
    the factor 1, `(1,)`.
    """
    return gemm_address(dtype.char), _SIZES.copy(), _ONES[dtype.char]


@lru_cache
def blocks_of_rows(rows: int, largest: int) -> tuple[slice, ...]:
    """Return the rows that go through a step together, block by block: their values stay in a cache.

    Args:
        rows: how many there are.
        largest: entries of the largest matrix that multiplies them. Where a few rows make a small product with it,
            blocks are so small.
    """
    small = _SMALL_PRODUCT // max(largest, 1) // _LEAST_ROWS * _LEAST_ROWS
    most = min(small, _SMALL_ROWS) or _ROWS
    count = max(-(-rows // most), 1)
    size = max(-(-rows // (count * _LEAST_ROWS)), 1) * _LEAST_ROWS
    return tuple(slice(start, min(start + size, rows)) for start in range(0, rows, size))
