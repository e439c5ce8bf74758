"""From a tape to flat arrays that one compiled kernel interprets for every function.

Values of all places lie in one vector, place after place, each `(K, size)`; weights of affine operations in another. An
operand is read through an index (or in order, without one) and a stride from one instance to the next, which is zero
for what all instances share.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.memory_layout import aligned, next_line, with_row_length
from trajopt_sgp.derivatives.traced.elementary import Code, Elementary
from trajopt_sgp.derivatives.traced.operations import (
    Affine,
    Data,
    Elementwise,
    Gate,
    Operation,
    Pair,
    Part,
    Pick,
    Product,
    Sum,
    Total,
)
from trajopt_sgp.derivatives.traced.tape import Tape


class Kind(IntEnum):
    """What the kernels call an operation."""

    AFFINE = 0
    ELEMENTWISE = 1
    SUM = 2
    PRODUCT = 3
    PICK = 4
    PART = 5
    TOTAL = 6
    GATE = 7


class Column(IntEnum):
    """What stands where in a row of `Programme.operations`; -1 for what there is none of."""

    KIND = 0
    OUTPUT = 1
    FIRST = 2
    SECOND = 3
    FIRST_INDEX = 4
    SECOND_INDEX = 5
    FIRST_STRIDE = 6
    SECOND_STRIDE = 7
    WEIGHT = 8
    BIAS = 9
    CODE = 10
    ROWS = 11
    LENGTH = 12


_PAIRS = {Sum: Kind.SUM, Product: Kind.PRODUCT, Gate: Kind.GATE}

_ITEMSIZE = 8

IN_ORDER = -1
"""An index of an operand whose entries are taken as they lie."""


@dataclass(frozen=True)
class Programme:
    """Operations of a tape as flat arrays, for K instances of d variables."""

    instances: int
    """K."""
    variables: int
    """d."""
    operations: IntArray
    """`(operations, columns)`, see `Column`."""
    numbers: FloatArray
    """Two constants of every operation, `(operations, 2)`."""
    places: IntArray
    """Entries of an instance, offset of the values and offset of the tangents of every place, `(places, 3)`; the last
    is -1 where a place does not depend on the variables."""
    indices: IntArray
    """Indices of all operands."""
    weights: FloatArray
    """Matrices, as `row_length` has them, and vectors of all affine operations."""
    value_count: int
    """Length of the vector of values."""
    tangent_count: int
    """Length of the vector of tangents."""
    degree: float
    """Of the function as a polynomial of the variables, or more; infinite where it is none."""


def lower(tape: Tape, instances: int, variables: int) -> Programme:
    """Return the programme of a tape."""
    return _Lowering(tape, instances, variables).programme()


class _Lowering:
    def __init__(self, tape: Tape, instances: int, variables: int) -> None:
        self.tape, self.instances, self.variables = tape, instances, variables
        self.rows: list[list[int]] = []
        self.numbers: list[tuple[float, float]] = []
        self.indices: list[IntArray] = []
        self.weights: list[FloatArray] = []
        self.index_count = self.weight_count = 0
        self.degree = dict.fromkeys(range(len(tape.sizes)), 0.0) | {0: 1.0}

    def programme(self) -> Programme:
        places, values, tangents = self._places()
        for operation in self.tape.operations:
            if not isinstance(operation, Data):
                self._lower(operation)
        return Programme(
            self.instances,
            self.variables,
            np.array(self.rows, dtype=np.int64).reshape(-1, len(Column)),
            np.array(self.numbers, dtype=np.float64).reshape(-1, 2),
            places,
            np.concatenate([np.zeros(0, np.int64), *self.indices]),
            aligned([np.zeros(0), *self.weights], np.dtype(np.float64)),
            values,
            tangents,
            self.degree[self.tape.result],
        )

    def _places(self) -> tuple[IntArray, int, int]:
        rows, values, tangents = [], 0, 0
        for place, size in enumerate(self.tape.sizes):
            active = place in self.tape.active
            rows.append([size, values, tangents if active else -1])
            values = next_line(values + size * (self.instances if active else 1), _ITEMSIZE)
            tangents = next_line(tangents + size * self.instances * self.variables * active, _ITEMSIZE)
        return np.array(rows, dtype=np.int64), values, tangents

    def _lower(self, operation: Operation) -> None:
        row, numbers = [-1] * len(Column), (0.0, 0.0)
        row[Column.OUTPUT], row[Column.FIRST] = operation.output, operation.inputs[0]
        degrees = [self.degree[i] for i in operation.inputs]
        degree = max(degrees)
        if isinstance(operation, Affine):
            row[Column.KIND] = Kind.AFFINE
            weight = with_row_length(operation.weight, _ITEMSIZE)
            row[Column.WEIGHT], row[Column.LENGTH] = self._weight(weight), weight.shape[1]
            row[Column.BIAS] = -1 if operation.bias is None else self._weight(operation.bias)
            row[Column.ROWS] = operation.rows
        elif isinstance(operation, Elementwise):
            row[Column.KIND], row[Column.CODE] = Kind.ELEMENTWISE, operation.elementary.code
            numbers = operation.elementary.first, operation.elementary.second
            degree = _degree(operation.elementary, degree)
        elif isinstance(operation, Pair):
            self._operands(row, operation)
            row[Column.KIND] = _PAIRS[type(operation)]
            numbers = (operation.factor, 0.0) if isinstance(operation, Sum) else numbers
            degree = degree if isinstance(operation, Sum) else sum(degrees)
        elif isinstance(operation, Pick | Part):
            row[Column.KIND] = Kind.PICK if isinstance(operation, Pick) else Kind.PART
            row[Column.FIRST_INDEX] = self._index(operation.index)
            row[Column.FIRST_STRIDE] = operation.stride if isinstance(operation, Part) else -1
        elif isinstance(operation, Total):
            row[Column.KIND], row[Column.FIRST_INDEX] = Kind.TOTAL, self._index(operation.index)
            numbers = operation.factor, 0.0
        self.degree[operation.output] = max(degree, self.degree[operation.output])
        self.rows.append(row)
        self.numbers.append(numbers)

    def _operands(self, row: list[int], operation: Pair) -> None:
        columns = (Column.FIRST, Column.FIRST_INDEX, Column.FIRST_STRIDE)
        others = (Column.SECOND, Column.SECOND_INDEX, Column.SECOND_STRIDE)
        operands = zip(operation.inputs, operation.indices, operation.strides, (columns, others), strict=True)
        for place, index, stride, (where, by, step) in operands:
            row[where], row[step] = place, stride
            row[by] = IN_ORDER if index is None else self._index(index)

    def _index(self, index: IntArray) -> int:
        self.indices.append(index)
        self.index_count += len(index)
        return self.index_count - len(index)

    def _weight(self, weight: torch.Tensor) -> int:
        start, flat = next_line(self.weight_count, _ITEMSIZE), weight.numpy().reshape(-1)
        self.weights += [np.zeros(start - self.weight_count), flat]
        self.weight_count = start + len(flat)
        return start


def _degree(elementary: Elementary, degree: float) -> float:
    """Return the degree of a function of a polynomial as a polynomial."""
    if elementary.code == Code.SQUARE:
        return 2.0 * degree
    if elementary.code == Code.NEG or degree == 0.0:
        return degree
    return float("inf")
