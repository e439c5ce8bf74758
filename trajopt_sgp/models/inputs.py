"""What may come from NumPy or from torch, and what may not."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError

Rows = Tensor | FloatArray | NDArray[np.float32]
"""States or controls of samples, in torch or NumPy."""


def as_tensor(rows: Rows) -> Tensor:
    """Return a tensor as it is, an array, which may be read-only, as a tensor of its own."""
    return rows if isinstance(rows, Tensor) else torch.tensor(rows)


def check_torch_generator(generator: object) -> None:
    """Check a source of random numbers.

    Raises:
        OptionError: it is something else than a generator of torch.
    """
    if not isinstance(generator, torch.Generator):
        raise OptionError(f"generator = {generator!r}: give one of torch, as torch.Generator().manual_seed(0).")
