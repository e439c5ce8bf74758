"""How far values are outside their bounds."""

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray


def excess(values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return by how much values are above (positive) or below (negative) their bounds; 0 within."""
    outside: FloatArray = values - np.clip(values, lower, upper)
    return outside


def tensor_excess(values: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return the same of tensors, differentiable."""
    return values - torch.minimum(torch.maximum(values, lower), upper)
