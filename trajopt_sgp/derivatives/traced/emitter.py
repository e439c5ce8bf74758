"""Writing operations on tensors to a tape, whatever dimensions of the tensors are those of the instances."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import IntArray
from trajopt_sgp.derivatives.traced.elementary import Elementary
from trajopt_sgp.derivatives.traced.operations import (
    Affine,
    Data,
    Elementwise,
    Operation,
    Pair,
    Part,
    Pick,
    Shape,
    Total,
)
from trajopt_sgp.derivatives.traced.tape import Tape
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor whose entries are kept in a place.

    Entry e of instance k has the number k * size + e. Views have numbers in another order, or left out, or repeated.
    """

    place: int
    """Where the entries are kept."""
    numbers: Tensor
    """Which of them each entry of the tensor is, in the shape of the tensor."""
    size: int | None
    """Entries of an instance, or None where the place does not depend on the variables."""

    @property
    def active(self) -> bool:
        """Whether it depends on the variables."""
        return self.size is not None

    @property
    def shape(self) -> Shape:
        """Of the tensor."""
        return tuple(self.numbers.shape)

    @property
    def instances(self) -> Tensor:
        """The instance of every entry of the tensor."""
        return self.numbers // max(self.size or 0, 1)

    def seen(self, rearrange: Callable[[Tensor], Tensor]) -> "Value":
        """Return the same with its entries in another order, left out or repeated."""
        return replace(self, numbers=rearrange(self.numbers))


class Emitter:
    """Writes operations to a tape.

    Args:
        instances: K.
        inputs: variables `(K, d)` and data.
    """

    def __init__(self, instances: int, inputs: Sequence[Tensor]) -> None:
        self.tape, self.name = Tape(), ""
        self.instances = instances
        variables, *data = inputs
        size = variables.numel() // max(instances, 1)
        place = self.tape.add_place(size, active=True)
        self.inputs = [Value(place, torch.arange(variables.numel()).reshape(variables.shape), size)]
        self.inputs += [self._given(self.tape.add_place(value.numel(), active=False), value.shape) for value in data]

    def constant(self, number: Any) -> Value:
        """Return a value that never changes."""
        tensor = torch.as_tensor(number, dtype=torch.float64).detach().clone()
        return self._given(self.tape.add_constant(tensor), tensor.shape)

    def data(self, sources: Sequence[Value], function: Callable[..., Tensor], shape: Sequence[int]) -> Value:
        """Return any function of values that do not depend on the variables."""
        place = self.tape.add_place(math.prod(shape), active=False)
        self._write(Data, place, [source.place for source in sources], function=function)
        return self._given(place, shape)

    def given(self, function: Callable[..., Tensor], *values: Value) -> Value:
        """Return a function of values that do not depend on the variables, with broadcasting."""
        if all(value.place in self.tape.constants for value in values):
            return self.constant(function(*(self.tape.constants[value.place] for value in values)))
        return self.data(values, function, np.broadcast_shapes(*(value.shape for value in values)))

    def apply(self, elementary: Elementary, value: Value) -> Value:
        """Return an elementwise function of a value; a view of all entries stays one."""
        found = np.zeros((value.size or 0) * self.instances, dtype=bool)
        found[value.numbers.numpy()] = True
        source = value if found.all() else self.in_order(value)
        place = self.tape.add_place(self.tape.sizes[source.place], active=True)
        self._write(Elementwise, place, [source.place], elementary=elementary)
        return replace(source, place=place)

    def combine(self, kind: type[Pair], first: Value, second: Value, **settings: Any) -> Value:
        """Return a sum or a product, with broadcasting."""
        shape = np.broadcast_shapes(first.shape, second.shape)
        operands = [value.seen(lambda numbers: numbers.expand(shape)) for value in (first, second)]
        active = [value.instances for value in operands if value.active]
        if not torch.equal(active[0], active[-1]):
            raise self.mixed()
        order = self._order(active[0])
        result = self._fresh(order, shape)
        places, indices, strides = zip(*(self._operand(value, order) for value in operands), strict=True)
        self._write(kind, result.place, places, indices=indices, strides=strides, **settings)
        return result

    def affine(self, value: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
        """Return the rows of a value `(rows, in)` times a constant `(in, out)`, plus a constant `(out,)`."""
        instances = value.instances
        if not torch.equal(instances, instances[:, :1].expand(instances.shape)):
            raise self.mixed()
        source = self.in_order(value)
        result = self._fresh(
            self._order(instances[:, :1].expand(-1, weight.shape[1])), (len(instances), weight.shape[1])
        )
        rows = len(instances) // self.instances
        self._write(Affine, result.place, [source.place], weight=_constant(weight), bias=_constant(bias), rows=rows)
        return result

    def total(self, value: Value, dims: Sequence[int], keep: bool, factor: float = 1.0) -> Value:
        """Return a factor times the sums over some dimensions."""
        source, axes = self.in_order(value), {dim % len(value.shape) for dim in dims}
        kept = [1 if axis in axes else size for axis, size in enumerate(value.shape)]
        targets = torch.arange(math.prod(kept)).reshape(kept).expand(value.shape)
        instances = torch.zeros(math.prod(kept), dtype=torch.int64)
        instances[targets.reshape(-1)] = source.instances.reshape(-1)
        if not torch.equal(instances[targets], source.instances):
            raise self.mixed()
        shape = kept if keep else [size for axis, size in enumerate(value.shape) if axis not in axes]
        result = self._fresh(self._order(instances), shape)
        rows = torch.empty(source.numbers.numel(), dtype=torch.int64)
        rows[source.numbers.reshape(-1)] = _entries(result).reshape(-1)[targets.reshape(-1)]
        index = self._alike(rows.reshape(self.instances, -1).numpy())
        self._write(Total, result.place, [source.place], index=index, factor=factor)
        return result

    def join(self, values: Sequence[Value], dim: int) -> Value:
        """Return values side by side; those that do not depend on the variables belong to the instances beside them."""
        beside = next(value.instances for value in values if value.active).narrow(dim, 0, 1)
        instances = [value.instances if value.active else beside.expand(value.shape) for value in values]
        joined = torch.cat(instances, dim)
        if not all(value.active for value in values) and not torch.equal(joined, beside.expand(joined.shape)):
            raise self.mixed()
        places = torch.arange(joined.numel()).reshape(joined.shape)
        ends = np.cumsum([0, *(value.shape[dim] for value in values)])
        return self._assembled(
            joined, values, [places.narrow(dim, int(a), int(b - a)) for a, b in itertools.pairwise(ends)]
        )

    def replaced(self, value: Value, places: Tensor, new: Value) -> Value:
        """Return a value with others at some places of it, counted as they follow each other."""
        fresh, at = new.seen(lambda numbers: numbers.expand(places.shape).reshape(-1)), places.reshape(-1)
        if len(np.unique(at.numpy())) < len(at):
            raise UnsupportedError(f"{self.name} to one entry several times")
        instances = value.instances if value.active else self._instances_beside(fresh, at, value.shape)
        if fresh.active and not torch.equal(instances.reshape(-1)[at], fresh.instances):
            raise self.mixed()
        rest = torch.ones(instances.numel(), dtype=torch.bool).index_fill(0, at, False).nonzero()[:, 0]
        kept = value.seen(lambda numbers: numbers.reshape(-1)[rest])
        return self._assembled(instances, [kept, fresh], [rest, at])

    def _instances_beside(self, value: Value, places: Tensor, shape: Shape) -> Tensor:
        """Return the instances of the entries of a tensor, some of whose entries are those of a value."""
        for axis, size in enumerate(shape):
            along = torch.arange(size) // max(size // self.instances, 1)
            found = along.reshape(-1, *[1] * (len(shape) - axis - 1)).expand(shape)
            if size % self.instances == 0 and torch.equal(found.reshape(-1)[places], value.instances):
                return found
        raise self.mixed()

    def _assembled(self, instances: Tensor, parts: Sequence[Value], places: Sequence[Tensor]) -> Value:
        """Return a value of entries of the given instances that is put together from parts; a view where they are."""
        size = parts[0].size
        if size is not None and all(part.place == parts[0].place for part in parts):
            entries = torch.empty(instances.numel(), dtype=torch.int64)
            for part, at in zip(parts, places, strict=True):
                entries[at.reshape(-1)] = part.numbers.reshape(-1)
            return Value(parts[0].place, entries.reshape(instances.shape), size)
        result = self._fresh(self._order(instances), instances.shape)
        numbers, flat = result.numbers.reshape(-1), instances.reshape(-1)
        for part, at in zip(parts, places, strict=True):
            if at.numel():
                self._write_part(part, replace(result, numbers=numbers[at]), self._order(flat[at]))
        return result

    def in_order(self, value: Value) -> Value:
        """Return a value whose place holds its entries, and no others, as they follow each other in the tensor."""
        order = self._order(value.instances)
        index = self._alike(_rows(_entries(value), order))
        if len(index) == value.size and _in_order(index):
            return value
        result = self._fresh(order, value.shape)
        self._write(Pick, result.place, [value.place], index=index)
        return result

    def finish(self, result: Value, sources: Sequence[Tensor]) -> Tape:
        """Return the tape whose result `(K, ...)` is a value."""
        if result.active:
            leading = torch.arange(self.instances).reshape(-1, *[1] * (len(result.shape) - 1))
            if not torch.equal(result.instances, leading.expand(result.shape)):
                raise UnsupportedError("the first dimension of the result is not that of the instances")
            result = self.in_order(result)
        self.tape.result, self.tape.shape, self.tape.sources = result.place, result.shape, list(sources)
        return self.tape

    def mixed(self) -> UnsupportedError:
        """Return what to raise where an entry depends on several instances, or instances are not treated alike."""
        return UnsupportedError(f"{self.name} mixes instances")

    def _write(self, kind: Callable[..., Operation], place: int, inputs: Sequence[int], **settings: Any) -> None:
        self.tape.operations.append(kind(output=place, inputs=tuple(inputs), **settings))

    def _write_part(self, value: Value, target: Value, order: IntArray) -> None:
        """Write a value to the places of some entries of a result."""
        index = self._alike(_rows(_entries(target), order))
        if value.active:
            source, stride = self.in_order(value), len(index)
        else:
            source, stride = self._gathered(value, order)
        self._write(Part, target.place, [source.place], index=index, stride=stride)

    def _given(self, place: int, shape: Sequence[int]) -> Value:
        return Value(place, torch.arange(math.prod(shape)).reshape(tuple(shape)), None)

    def _fresh(self, order: IntArray, shape: Sequence[int]) -> Value:
        """Return a value in a new place, its entries in the order `(K, size)` of each instance."""
        numbers = torch.empty(order.size, dtype=torch.int64)
        numbers[torch.from_numpy(order.reshape(-1))] = torch.arange(order.size)
        size = order.shape[1]
        return Value(self.tape.add_place(size, active=True), numbers.reshape(tuple(shape)), size)

    def _order(self, instances: Tensor) -> IntArray:
        """Return where the entries of each instance are, `(K, size)`, as they follow each other in a tensor."""
        flat = instances.reshape(-1).numpy()
        if len(flat) % self.instances:
            raise self.mixed()
        order = np.argsort(flat, kind="stable").reshape(self.instances, -1)
        if (flat[order] != np.arange(self.instances)[:, None]).any():
            raise self.mixed()
        return order

    def _operand(self, value: Value, order: IntArray) -> tuple[int, IntArray | None, int]:
        """Return place, index and stride with which an operation reads a value in an order `(K, size)`."""
        rows = _rows(value.numbers, order)
        if value.size is not None:
            index, place, stride = self._alike(rows % max(value.size, 1)), value.place, value.size
            return place, None if _in_order(index) else index, stride
        stride = int(rows[1, 0] - rows[0, 0]) if len(rows) > 1 and rows.size else 0
        if (rows != rows[:1] + stride * np.arange(len(rows))[:, None]).any():
            source, stride = self._gathered(value, order)
            return source.place, None, stride
        return value.place, None if _in_order(rows[0]) else rows[0], stride

    def _gathered(self, value: Value, order: IntArray) -> tuple[Value, int]:
        """Return a value that does not depend on the variables, its entries in an order, and its stride."""
        rows = torch.from_numpy(_rows(value.numbers, order))
        if value.place not in self.tape.constants:
            return self.data([value], lambda given: given.reshape(-1)[rows], rows.shape), rows.shape[1]
        constant = self.tape.constants[value.place].reshape(-1)[rows]
        same = torch.equal(constant, constant[:1].expand(constant.shape))
        return self.constant(constant[0] if same else constant), 0 if same else rows.shape[1]

    def _alike(self, rows: IntArray) -> IntArray:
        """Return the row that is the same for every instance."""
        if (rows != rows[:1]).any():
            raise self.mixed()
        return np.ascontiguousarray(rows[0])


def _entries(value: Value) -> Tensor:
    """Return which entry of its instance each entry of a tensor is."""
    return value.numbers % max(value.size or 0, 1)


def _rows(numbers: Tensor, order: IntArray) -> IntArray:
    rows: IntArray = numbers.reshape(-1).numpy()[order]
    return rows


def _in_order(index: IntArray) -> bool:
    return bool((index == np.arange(len(index))).all())


def _constant(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().to(torch.float64).contiguous()
