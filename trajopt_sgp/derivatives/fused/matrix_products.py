"""The address of a BLAS matrix product: that of PyTorch, which obeys its limit of threads, or else that of SciPy."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_NAMES = {"float64": "dgemm", "float32": "sgemm"}


@cache
def gemm_address(dtype: str) -> int:
    """Return the address of `dgemm` or `sgemm` with Fortran's calling convention, for "float64" or "float32"."""
    name = _NAMES[dtype]
    for library in Path(torch.__file__).parent.glob("lib/*torch_cpu.*"):
        try:
            function = getattr(ctypes.CDLL(str(library)), f"{name}_")
        except (OSError, AttributeError):
            continue
        return int(ctypes.cast(function, ctypes.c_void_p).value or 0)
    from numba.extending import get_cython_function_address

    return int(get_cython_function_address("scipy.linalg.cython_blas", name))


_SIZES = np.zeros(4, dtype=np.int32)
_SIZES.view(np.uint8)[12] = ord("N")
_ONES: dict[str, NDArray[Any]] = {"f": np.ones(1, np.float32), "d": np.ones(1)}


def product_arguments(dtype: "np.dtype[Any]") -> tuple[int, NDArray[np.int32], NDArray[Any]]:
    """Return what the loops need for products in a precision.

    The address; room for three sizes, and the letter N for both factors as they are, `(4,)`, for one caller alone; and
    the factor 1, `(1,)`.
    """
    return gemm_address("float64" if dtype.char == "d" else "float32"), _SIZES.copy(), _ONES[dtype.char]
