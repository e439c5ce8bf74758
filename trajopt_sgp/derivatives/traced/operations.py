"""Operations of a traced function. A value has shape `(K, ...)`, K instances; numbers count entries of an instance."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.traced.elementary import Elementary

Shape = tuple[int, ...]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Operation:
    """One step of a traced function."""

    output: int
    """Place of its value."""
    inputs: tuple[int, ...]
    """Places of the values it takes."""


@dataclass(frozen=True)
class Affine(Operation):
    """x W + b."""

    weight: Tensor
    """Constant W `(in, out)`."""
    bias: Tensor | None
    """Constant b `(out,)`."""


@dataclass(frozen=True)
class Elementwise(Operation):
    """A function applied to every entry."""

    elementary: Elementary
    """Which one."""


@dataclass(frozen=True)
class Sum(Operation):
    """x + factor * y, with broadcasting."""

    factor: float
    """Of the second input."""


@dataclass(frozen=True)
class Product(Operation):
    """x * y, with broadcasting."""


@dataclass(frozen=True)
class Pick(Operation):
    """Entries of the input in another order, some of them perhaps left out or repeated."""

    index: IntArray
    """Entry of the input for each entry of the output."""


@dataclass(frozen=True)
class Part(Operation):
    """Entries of the output that are those of the input; other parts write the others."""

    index: IntArray
    """Entry of the output for each entry of the input."""


@dataclass(frozen=True)
class Total(Operation):
    """Sums of entries."""

    index: IntArray
    """Entry of the output to which each entry of the input is added."""
    factor: float
    """Of every sum."""


@dataclass(frozen=True)
class Data(Operation):
    """Any function of values that do not depend on the variables."""

    function: Callable[..., Tensor]
