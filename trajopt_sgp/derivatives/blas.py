"""The matrix products that compiled loops call: BLAS by its address, as Fortran does.

SciPy's OpenBLAS, or on Intel's processors the MKL in PyTorch for matrices that are not thin: there it takes two thirds
of the time. On AMD's processors MKL takes a third longer, and for thin matrices everywhere up to seven times as long.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba.extending import get_cython_function_address
from numpy.typing import NDArray

from trajopt_sgp.arrays import AnyArray, IntArray

_NAMES = {"d": "dgemm", "f": "sgemm"}


@cache
def gemm_addresses(kind: str) -> IntArray:
    """Return where `dgemm` or `sgemm` stands, for "d" or "f": for thin matrices and for others, `(2,)`."""
    name = _NAMES[kind]
    thin = int(get_cython_function_address("scipy.linalg.cython_blas", name))
    return np.array([thin, _mkl_address(name) or thin])


def products_by_mkl() -> bool:
    """Return whether PyTorch's MKL multiplies matrices that are not thin."""
    thin, other = gemm_addresses("d")
    return bool(thin != other)


_SIZES = np.zeros(5, dtype=np.int32)
_SIZES.view(np.uint8)[16:18] = ord("N"), ord("T")
_FACTORS: dict[str, AnyArray] = {"f": np.array([1.0, 0.0], np.float32), "d": np.array([1.0, 0.0])}


def product_arguments(dtype: "np.dtype[Any]") -> tuple[IntArray, NDArray[np.int32], AnyArray]:
    """Return what compiled loops need for products in a precision, for one caller alone.

    The two addresses; room for four sizes, then the letters N and T, `(5,)`; and the factors 1 and 0, `(2,)`.
    """
    return gemm_addresses(dtype.char), _SIZES.copy(), _FACTORS[dtype.char]


def _mkl_address(name: str) -> int | None:
    """Return where PyTorch's MKL has a product, on a processor of Intel; None elsewhere."""
    available: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    if not available or "GenuineIntel" not in _processor():
        return None
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return ctypes.cast(getattr(library, f"{name}_"), ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
