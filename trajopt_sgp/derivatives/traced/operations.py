"""Operations of a traced function.

A place that depends on the variables holds as many entries for each of K instances; another one holds any entries. An
operand is read through an index, or in order where there is none, and a stride from one instance to the next, which is
zero for what all instances share.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trajopt_sgp.arrays import IntArray
from trajopt_sgp.derivatives.traced.elementary import Elementary

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One step of a traced function."""

    output: int
    """Place of its value."""
    inputs: tuple[int, ...]
    """Places of the values it takes."""


@dataclass(frozen=True)
class Affine(Operation):
    """x W + b for every row of an instance."""

    weight: Tensor
    """Constant W `(in, out)`."""
    bias: Tensor | None
    """Constant b `(out,)`."""
    rows: int
    """Rows of an instance."""


@dataclass(frozen=True)
class Elementwise(Operation):
    """A function applied to every entry."""

    elementary: Elementary
    """Which one."""


@dataclass(frozen=True)
class Pair(Operation):
    """An entry of each of two operands for every entry of the result."""

    indices: tuple[IntArray | None, IntArray | None]
    """Entries of both that the first instance takes."""
    strides: tuple[int, int]
    """From there to those of the next instance."""


@dataclass(frozen=True)
class Sum(Pair):
    """x + factor * y."""

    factor: float
    """Of the second operand."""


@dataclass(frozen=True)
class Product(Pair):
    """x * y."""


@dataclass(frozen=True)
class Gate(Pair):
    """x * y, and 0 where x is 0 whatever y is; x is a condition, and its changes do not count."""


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
    stride: int
    """From the entries of an instance to those of the next one."""


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
