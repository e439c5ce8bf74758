"""The floating-point type in which functions of a problem compute."""

import copy
import itertools
from typing import Any, TypeVar

import torch

Function = TypeVar("Function")


def parameter_dtype(function: object) -> torch.dtype:
    """Return the floating-point type of a module's parameters or buffers; float64 for anything else."""
    if isinstance(function, torch.nn.Module):
        for tensor in itertools.chain(function.parameters(), function.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
    own: object = getattr(function, "dtype", None)
    return own if isinstance(own, torch.dtype) else torch.float64


def cast(function: Function, dtype: torch.dtype) -> Function:
    """Return a module converted to `dtype`, as a copy unless it has that type already; anything else unchanged.

    What is no module but can convert itself, by a method `to`, does so.
    """
    if isinstance(function, torch.nn.Module):
        return function if parameter_dtype(function) == dtype else copy.deepcopy(function).to(dtype)
    convert: Any = getattr(function, "to", None)
    return convert(dtype) if callable(convert) else function
