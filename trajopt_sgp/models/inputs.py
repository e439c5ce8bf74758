"""What may come from NumPy or from torch, and what may not."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.arrays import FloatArray

Rows = Tensor | FloatArray | NDArray[np.float32]
"""States or controls of samples, in torch or NumPy."""


def as_tensor(rows: Rows) -> Tensor:
    """Return a tensor as it is, an array, which may be read-only, as a tensor of its own."""
    return rows if isinstance(rows, Tensor) else torch.tensor(rows)
