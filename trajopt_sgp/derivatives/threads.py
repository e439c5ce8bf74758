"""Limiting the threads of PyTorch and of BLAS while something runs."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

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
    leave = _BLAS.limit(threads)
    try:
        yield
    finally:
        leave()
        torch.set_num_threads(before)


class _Blas:
    """The threads of BLAS, which all of Python's share: the last block that ends restores what the first found."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[int, int] = {}
        self._blocks = itertools.count()
        self._restore: Callable[[], object] = lambda: None

    def limit(self, threads: int) -> Callable[[], None]:
        """Limit the threads, and return what ends that."""
        with self._lock:
            limiter = _libraries().limit(limits=threads, user_api="blas")
            if not self._limits:
                self._restore = limiter.restore_original_limits
            block = next(self._blocks)
            self._limits[block] = threads
        return lambda: self._leave(block)

    def _leave(self, block: int) -> None:
        with self._lock:
            del self._limits[block]
            if self._limits:
                _libraries().limit(limits=list(self._limits.values())[-1], user_api="blas")
            else:
                self._restore()


_BLAS = _Blas()


@cache
def _libraries() -> ThreadpoolController:
    # its BLAS, which compiled kernels call, must be loaded to be limited
    import scipy.linalg.cython_blas  # noqa: F401

    return ThreadpoolController()
