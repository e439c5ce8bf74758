"""Limiting PyTorch's threads while something runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trajopt_sgp.errors import OptionError


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Run the block with `threads` threads of PyTorch's operations, and restore the number afterwards.

    Small tensors gain nothing from more threads, and lose a lot when the cores are shared; sums also depend on how the
    work is split. NumPy's own BLAS is not affected.

    Raises:
        OptionError: the number is below 1.
    """
    if threads < 1:
        raise OptionError(f"threads = {threads}: it must be at least 1.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
