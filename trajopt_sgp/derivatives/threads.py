"""Limiting the threads of PyTorch and of BLAS while something runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import scipy.linalg.cython_blas  # noqa: F401  its BLAS, which compiled kernels call, must be loaded to be limited
import torch
from threadpoolctl import ThreadpoolController

from trajopt_sgp.errors import OptionError


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Run the block with `threads` threads of PyTorch's operations and of BLAS, and restore both numbers afterwards.

    Small tensors gain nothing from more threads, and lose a lot when the cores are shared; sums also depend on how the
    work is split.

    Raises:
        OptionError: the number is below 1.
    """
    if threads < 1:
        raise OptionError(f"threads = {threads}: it must be at least 1.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _libraries().limit(limits=threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
