"""The address of a BLAS matrix product: that of PyTorch, which obeys its limit of threads, or else that of SciPy."""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import torch

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


def letter_and_sizes() -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    """Return the arguments of a product `(4,)`: room for three sizes, and the letter N for both factors as they are."""
    sizes = np.zeros(4, dtype=np.int32)
    sizes.view(np.uint8)[12] = ord("N")
    return sizes
