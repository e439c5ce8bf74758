"""From the tape of a step to a programme.

Linear operations are folded: a normaliser becomes part of the first layer, the units of the state increment part of the
last one.
"""

from collections import Counter
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import AnyArray, IntArray
from trajopt_sgp.derivatives.fused import codes
from trajopt_sgp.derivatives.fused.linear_forms import LinearForm, is_dense, is_diagonal
from trajopt_sgp.derivatives.fused.programme import StepProgramme
from trajopt_sgp.derivatives.memory_layout import aligned, next_line, with_row_length
from trajopt_sgp.derivatives.traced.elementary import Code
from trajopt_sgp.derivatives.traced.operations import (
    Affine,
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
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

# In single precision, folding a larger offset into a layer would cancel digits.
_LARGEST_SINGLE_OFFSET = 8.0


def lower(tape: Tape, z: Tensor, state_size: int) -> StepProgramme:
    """Return the programme of a tape of `step(z)`, z `(K, n + q)` an example whose type is that of the programme.

    Raises:
        UnsupportedError: the tape holds an operation that the compiled loops do not know.
    """
    return _Lowering(tape, z, state_size).build()


class _Lowering:
    """Walks through the tape; what is linear is collected, what is not is emitted."""

    def __init__(self, tape: Tape, z: Tensor, state_size: int) -> None:
        self.tape, self.z, self.state_size = tape, z, state_size
        self.uses = Counter(place for operation in tape.operations for place in operation.inputs)
        self.forms = {0: _base(0, z.shape[1])}
        self.work, self.record, self.entries, self.used = z.shape[1], 0, 0, 1
        self.rows: list[list[int]] = []
        self.numbers: list[AnyArray] = [np.zeros(1)]
        self.itemsize = z.element_size()
        self.places: list[AnyArray] = [np.zeros(0, dtype=np.int64)]

    def build(self) -> StepProgramme:
        for operation in self.tape.operations:
            place = operation.output
            self.forms[place] = self._form(operation)
            if self.uses[place] > 1 and self.forms[place].dense:
                self._start_of(place)
        result = self._start_of(self.tape.result)
        if self.forms[self.tape.result].size != self.state_size:
            raise UnsupportedError("the next state has another size than the state")
        table = np.array(self.rows, dtype=np.int64).reshape(-1, codes.COUNT + 1)
        products = table[table[:, codes.OPERATION] == codes.AFFINE]
        return StepProgramme(
            table=table,
            numbers=aligned(self.numbers, self.z.numpy().dtype),
            places=np.concatenate(self.places),
            result=result,
            work_size=self.work,
            record_size=max(1, self.record),
            state_size=self.state_size,
            input_size=self.z.shape[1] - self.state_size,
            largest_product=int((products[:, codes.OUT_SIZE] * products[:, codes.FIRST_SIZE]).max(initial=0)),
        )

    def _form(self, operation: Operation) -> LinearForm:
        match operation:
            case Affine():
                return self._affine(operation)
            case Elementwise():
                return self._elementwise(operation)
            case Sum():
                return self._sum(operation)
            case Product():
                return self._product(operation)
            case Gate():
                return self._gate(operation)
            case Part():
                return self._part(operation)
            case Pick():
                return self._known(operation.inputs[0]).at(torch.from_numpy(operation.index))
            case Total():
                return self._total(operation)
            case _:
                raise UnsupportedError(f"{type(operation).__name__} is not known to the compiled rollout")

    def _affine(self, operation: Affine) -> LinearForm:
        weight, bias, rows = operation.weight, operation.bias, operation.rows
        if rows == 1:
            return self._layer(operation.inputs[0], weight.shape[1]).times(weight, bias)
        self._layer(operation.inputs[0], weight.shape[1])
        return self._joined([self._row(operation, row).times(weight, bias) for row in range(rows)])

    def _row(self, operation: Affine, row: int) -> LinearForm:
        """Return one of the rows that go through a layer, as a base of its own."""
        width = len(operation.weight)
        form = self._known(operation.inputs[0]).at(torch.arange(row * width, (row + 1) * width))
        return _base(self._evaluate(form), width)

    def _joined(self, forms: list[LinearForm]) -> LinearForm:
        """Return forms side by side."""
        width = forms[0].size
        placed = [
            form.put(torch.arange(row * width, (row + 1) * width), len(forms) * width) for row, form in enumerate(forms)
        ]
        return reduce(lambda one, other: one.plus(other, 1.0), placed)

    def _layer(self, place: int, columns: int) -> LinearForm:
        """Return what a layer is applied to: two layers in a row stay two, since their product may be larger."""
        form = self._known(place)
        cancels = self.z.dtype == torch.float32 and float(form.offset.abs().max()) > _LARGEST_SINGLE_OFFSET
        if form.dense or cancels or form.spares_products(columns):
            self._start_of(place)
        return self.forms[place]

    def _elementwise(self, operation: Elementwise) -> LinearForm:
        source, elementary = operation.inputs[0], operation.elementary
        if elementary.code == Code.NEG:
            return self._known(source).scaled(torch.tensor(-1.0, dtype=torch.float64))
        first, size = self._start_of(source), self.forms[source].size
        constants = self._keep(torch.tensor([elementary.first, elementary.second], dtype=torch.float64))
        return self._emit(codes.ELEMENTWISE, size, first, numbers=constants, detail=elementary.code, record=size)

    def _sum(self, operation: Sum) -> LinearForm:
        first, second = (self._operand(operation, side) for side in range(2))
        return first.plus(second, operation.factor)

    def _product(self, operation: Product) -> LinearForm:
        first, second = (self._operand(operation, side) for side in range(2))
        if not (first.terms and second.terms):
            return second.scaled(first.offset) if not first.terms else first.scaled(second.offset)
        starts = [self._evaluate(form) for form in (first, second)]
        size = self.tape.sizes[operation.output]
        return self._emit(codes.PRODUCT, size, starts[0], second=starts[1], record=2 * size)

    def _gate(self, operation: Gate) -> LinearForm:
        first, second = (self._operand(operation, side) for side in range(2))
        if not second.terms and bool(torch.isfinite(second.offset).all()):
            return first.scaled(second.offset)
        starts = [self._evaluate(form) for form in (first, second)]
        size = self.tape.sizes[operation.output]
        return self._emit(codes.GATE, size, starts[0], second=starts[1], record=size)

    def _part(self, operation: Part) -> LinearForm:
        source, index = operation.inputs[0], torch.from_numpy(operation.index)
        form = self._constant(source, None, operation.stride) if source in self.tape.constants else self._known(source)
        form = form.put(index, self.tape.sizes[operation.output])
        earlier = self.forms.get(operation.output)
        return form if earlier is None else earlier.plus(form, 1.0)

    def _total(self, operation: Total) -> LinearForm:
        source = operation.inputs[0]
        size = self.tape.sizes[operation.output]
        matrix = torch.zeros((len(operation.index), size), dtype=torch.float64)
        matrix[torch.arange(len(operation.index)), torch.from_numpy(operation.index)] = operation.factor
        form = self._known(source)
        return (self._layer(source, size) if is_dense(matrix) else form).times(matrix, None)

    def _known(self, place: int) -> LinearForm:
        if place not in self.forms:
            raise UnsupportedError("a value depends on state and control in a way that is not differentiable")
        return self.forms[place]

    def _operand(self, operation: Pair, side: int) -> LinearForm:
        """Return what an operation reads of a place or of a constant."""
        place, index = operation.inputs[side], operation.indices[side]
        own = np.arange(self.tape.sizes[operation.output]) if index is None else index
        if place in self.tape.constants:
            return self._constant(place, own, operation.strides[side])
        return self._known(place).at(torch.from_numpy(own))

    def _constant(self, place: int, index: IntArray | None, stride: int) -> LinearForm:
        """Return some entries, or those of an instance, of a constant that is the same for all instances."""
        values = self.tape.constants[place].reshape(-1)
        entries = torch.arange(stride or len(values)) if index is None else torch.from_numpy(index)
        if not torch.equal(values[entries], values[entries + stride]):
            raise UnsupportedError("a constant differs from one row of the batch to the next")
        return LinearForm({}, values[entries])

    def _start_of(self, place: int) -> int:
        """Evaluate a place, so that it is a base from here on."""
        start = self._evaluate(self._known(place))
        self.forms[place] = _base(start, self.forms[place].size)
        return start

    def _evaluate(self, form: LinearForm) -> int:
        """Emit what evaluates a form, and return its offset in the workspace."""
        if not form.terms:
            form = LinearForm({0: torch.zeros((self.z.shape[1], form.size), dtype=torch.float64)}, form.offset)
        if form.alias is not None:
            return form.alias
        start = self._reserve(form.size)
        # full matrices first: whatever comes first sets the offset
        pairs = sorted(((base, form.matrix(base)) for base in form.terms), key=lambda pair: not is_dense(pair[1]))
        for i, (base, matrix) in enumerate(pairs):
            emit = self._full if is_dense(matrix) else self._diagonal if is_diagonal(matrix) else self._sparse
            emit(start, base, matrix, form.offset, i == 0)
        return start

    def _full(self, start: int, base: int, matrix: Tensor, offset: Tensor, fresh: bool) -> None:
        direct, transpose = (with_row_length(m, self.itemsize) for m in (matrix, matrix.T))
        numbers, more = self._keep(direct), self._keep(torch.cat([transpose.reshape(-1), offset]))
        (rows, columns), lengths = matrix.shape, (direct.shape[1], transpose.shape[1])
        self.rows.append(
            [codes.AFFINE, start, columns, base, rows, lengths[0], numbers, more, int(fresh), 0, lengths[1]]
        )

    def _sparse(self, start: int, base: int, matrix: Tensor, offset: Tensor, fresh: bool) -> None:
        entries = matrix.nonzero()
        numbers, more, bias = self._keep(matrix[entries[:, 0], entries[:, 1]]), self.entries, self._keep(offset)
        self.entries += len(entries)
        self.places.append(entries.flip(1).numpy().reshape(-1))
        rows, columns = matrix.shape
        count = len(entries)
        self.rows.append([codes.SPARSE, start, columns, base, rows, bias, numbers, more, int(fresh), 0, count])

    def _diagonal(self, start: int, base: int, matrix: Tensor, offset: Tensor, fresh: bool) -> None:
        size, numbers, bias = len(matrix), self._keep(matrix.diagonal()), self._keep(offset)
        self.rows.append([codes.DIAGONAL, start, size, base, size, bias, numbers, 0, int(fresh), 0, 0])

    def _emit(
        self, code: int, size: int, first: int, *, second: int = 0, numbers: int = 0, detail: int = 0, record: int = 0
    ) -> LinearForm:
        """Emit a nonlinear operation, and return its result."""
        start = self._reserve(size)
        self.rows.append([code, start, size, first, size, second, numbers, 0, detail, self.record, 0])
        self.record += record
        return _base(start, size)

    def _reserve(self, size: int) -> int:
        start = self.work
        self.work += size
        return start

    def _keep(self, numbers: Tensor) -> int:
        start = next_line(self.used, self.itemsize)
        self.numbers += [np.zeros(start - self.used), numbers.contiguous().reshape(-1).numpy()]
        self.used = start + numbers.numel()
        return start


def _base(start: int, size: int) -> LinearForm:
    return LinearForm({start: None}, torch.zeros(size, dtype=torch.float64))
