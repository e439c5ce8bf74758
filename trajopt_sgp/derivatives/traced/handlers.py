"""Operations of torch that are known in closed form, one function for each kind.

A handler takes the emitter, and the arguments of the operation with values in place of what was recorded.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, hardtanh, root, softplus, step
from trajopt_sgp.derivatives.traced.elementary import clamp as clamped
from trajopt_sgp.derivatives.traced.elementary import power as powered
from trajopt_sgp.derivatives.traced.emitter import Emitter, Value
from trajopt_sgp.derivatives.traced.members import Members, split
from trajopt_sgp.derivatives.traced.operations import Gate, Product, Sum
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

_MOST_PRODUCTS = 512

Number = int | float
Argument = Value | Tensor | int | float
"""What was recorded, or a constant."""


Several = Members | Value | Tensor | int | float
"""The same, or the members of an ensemble."""


def value_of(emitter: Emitter, argument: Argument) -> Value:
    """Return an argument as a value."""
    return argument if isinstance(argument, Value) else emitter.constant(argument)


def together(emitter: Emitter, argument: Several) -> Value:
    """Return members joined, or an argument as a value."""
    return argument.joined(emitter) if isinstance(argument, Members) else value_of(emitter, argument)


def add(emitter: Emitter, first: Argument, second: Argument, alpha: Number = 1.0) -> Value:
    """Return a sum."""
    return emitter.combine(Sum, value_of(emitter, first), value_of(emitter, second), factor=float(alpha))


def subtract(emitter: Emitter, first: Argument, second: Argument, alpha: Number = 1.0) -> Value:
    """Return a difference."""
    return add(emitter, first, second, -float(alpha))


def multiply(emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return a product of entries."""
    return emitter.combine(Product, value_of(emitter, first), value_of(emitter, second))


def greater(closed: bool, emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return 1 where the first is greater, with `closed` where it is equal as well, and 0 elsewhere."""
    return emitter.apply(step(closed), subtract(emitter, first, second))


def less(closed: bool, emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return 1 where the first is less, with `closed` where it is equal as well, and 0 elsewhere."""
    return emitter.apply(step(closed), emitter.apply(ELEMENTARY["neg"], subtract(emitter, first, second)))


def equal(emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return 1 where both are equal, and 0 elsewhere."""
    return negated(emitter, different(emitter, first, second))


def different(emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return 0 where both are equal, and 1 elsewhere."""
    return emitter.apply(powered(2.0), emitter.apply(ELEMENTARY["sign"], subtract(emitter, first, second)))


def negated(emitter: Emitter, condition: Argument) -> Value:
    """Return 1 where a condition does not hold, and 0 where it does."""
    value = value_of(emitter, condition)
    return subtract(emitter, 1.0, value) if value.active else emitter.given(lambda given: given == 0.0, value)


def either(emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return 1 where at least one of two conditions holds, and 0 elsewhere."""
    return negated(emitter, multiply(emitter, negated(emitter, first), negated(emitter, second)))


def choose(emitter: Emitter, condition: Argument, first: Argument, second: Argument) -> Value:
    """Return one of two values; what the other one is does not matter, not even if it is not a number."""
    one = _gated(emitter, value_of(emitter, condition), value_of(emitter, first))
    other = _gated(emitter, negated(emitter, condition), value_of(emitter, second))
    return emitter.combine(Sum, one, other, factor=1.0)


def _gated(emitter: Emitter, gate: Value, value: Value) -> Value:
    if gate.active or value.active:
        return emitter.combine(Gate, gate, value)
    return emitter.given(lambda gate, value: torch.where(gate != 0, value, 0.0), gate, value)


def matrix_product(emitter: Emitter, first: Argument, second: Argument) -> Value:
    """Return the product of two matrices, one of which is constant or small."""
    if isinstance(first, Value) and isinstance(second, Tensor):
        return emitter.affine(first, second)
    if isinstance(first, Tensor) and isinstance(second, Value):
        return _transposed(emitter.affine(_transposed(second), first.T))
    return _small_product(emitter, value_of(emitter, first), value_of(emitter, second))


def matrix_products(emitter: Emitter, first: Several, second: Several, biases: Tensor | None = None) -> Several:
    """Return the products of matrices `(b, r, i)` and `(b, i, c)`: of instances, or of the members of an ensemble.

    Args:
        emitter: of the tape.
        first: the matrices from the left.
        second: those from the right.
        biases: constants `(b, c)` to be added where the second ones are constants of members.
    """
    if isinstance(second, Tensor) and _of_members(emitter, first):
        layers = zip(split(first, len(second)), second, [None] * len(second) if biases is None else biases, strict=True)
        return Members([emitter.affine(value, weight, bias) for value, weight, bias in layers])
    if isinstance(second, Tensor) and torch.equal(second, second[:1].expand(second.shape)):
        value = together(emitter, first)
        flat = emitter.affine(value.seen(lambda numbers: numbers.flatten(0, 1)), second[0])
        return flat.seen(lambda numbers: numbers.reshape(*value.shape[:2], -1))
    if isinstance(first, Tensor):
        products = matrix_products(emitter, _transposed(together(emitter, second)), first.transpose(1, 2))
        return _transposed(together(emitter, products))
    return _small_product(emitter, together(emitter, first), together(emitter, second))


def affine_products(
    emitter: Emitter, bias: Several, first: Several, second: Several, beta: Number = 1, alpha: Number = 1
) -> Several:
    """Return the products of matrices plus something."""
    if beta != 1 or alpha != 1:
        raise UnsupportedError(f"{emitter.name} with factors")
    if isinstance(bias, Tensor) and bias.shape[-2] == 1 and isinstance(second, Tensor) and _of_members(emitter, first):
        biases = bias.expand(len(second), 1, second.shape[2])[:, 0]
        return matrix_products(emitter, first, second, biases)
    return add(emitter, together(emitter, bias), together(emitter, matrix_products(emitter, first, second)))


def _of_members(emitter: Emitter, value: Several) -> bool:
    """Return whether each matrix has rows of all instances."""
    if isinstance(value, Value):
        return len(np.unique(value.instances[0].numpy())) == emitter.instances
    return isinstance(value, Members)


def _small_product(emitter: Emitter, first: Value, second: Value) -> Value:
    """Return products of matrices as sums of products of their entries, as for rotations.

    Raises:
        UnsupportedError: they are so large that all products of entries, side by side, would fill the memory.
    """
    if math.prod(first.shape[-2:]) * second.shape[-1] > _MOST_PRODUCTS:
        raise UnsupportedError(f"{emitter.name}: a product of large matrices that both depend on inputs")
    one, other = first.seen(lambda n: n.unsqueeze(-1)), second.seen(lambda n: n.unsqueeze(-3))
    return emitter.total(emitter.combine(Product, one, other), [-2], keep=False)


def _transposed(value: Value) -> Value:
    return value.seen(lambda numbers: numbers.transpose(-1, -2))


def affine(
    emitter: Emitter, bias: Argument, first: Argument, second: Argument, beta: Number = 1, alpha: Number = 1
) -> Value:
    """Return a product of matrices plus something."""
    if beta != 1 or alpha != 1:
        raise UnsupportedError(f"{emitter.name} with factors")
    if isinstance(bias, Tensor) and bias.ndim == 1 and isinstance(first, Value) and isinstance(second, Tensor):
        return emitter.affine(first, second, bias.expand(second.shape[1]))
    return add(emitter, bias, matrix_product(emitter, first, second))


def join(emitter: Emitter, parts: Sequence[Argument], dim: int = 0) -> Value:
    """Return a concatenation."""
    return emitter.join([value_of(emitter, part) for part in parts], dim)


def total(
    emitter: Emitter, value: Value, dims: list[int] | None = None, keep: bool = False, dtype: torch.dtype | None = None
) -> Value:
    """Return a sum over dimensions."""
    if dtype not in (None, torch.float64):
        raise UnsupportedError(f"{emitter.name} in another precision")
    return emitter.total(value, dims or range(len(value.shape)), keep)


def mean(
    emitter: Emitter, value: Value, dims: list[int] | None = None, keep: bool = False, dtype: torch.dtype | None = None
) -> Value:
    """Return a mean over dimensions."""
    if dtype not in (None, torch.float64):
        raise UnsupportedError(f"{emitter.name} in another precision")
    axes = dims or range(len(value.shape))
    return emitter.total(value, axes, keep, 1.0 / math.prod(value.shape[axis] for axis in axes))


def norm(
    emitter: Emitter, value: Value, order: Number = 2.0, dims: list[int] | None = None, keep: bool = False
) -> Value:
    """Return the root of a sum of powers."""
    size = emitter.apply(ELEMENTARY["abs"], value) if order % 2.0 else value
    powers = emitter.apply(powered(float(order)), size)
    return emitter.apply(root(1.0 / order), emitter.total(powers, dims or range(len(value.shape)), keep))


def power(emitter: Emitter, value: Argument, exponent: Argument) -> Value:
    """Return a power with a constant exponent."""
    if isinstance(exponent, Value) or not isinstance(value, Value) or torch.as_tensor(exponent).numel() != 1:
        raise UnsupportedError(f"{emitter.name} with an exponent that is not a number")
    # derivatives at zero have no powers of zero
    return value if float(exponent) == 1.0 else emitter.apply(powered(float(exponent)), value)


def clamp(emitter: Emitter, value: Value, low: Number | None = None, high: Number | None = None) -> Value:
    """Return a restriction to an interval."""
    return emitter.apply(clamped(low, high), value)


def restrict(emitter: Emitter, value: Value, low: Number = -1.0, high: Number = 1.0) -> Value:
    """Return a restriction to an interval, flat at its ends."""
    return emitter.apply(hardtanh(float(low), float(high)), value)


def soft(emitter: Emitter, value: Value, beta: Number = 1.0, threshold: Number = 20.0) -> Value:
    """Return a soft ramp; another `beta` is decomposed."""
    return emitter.apply(softplus(float(threshold)), value)


def put(emitter: Emitter, value: Argument, places: Tensor, new: Argument, accumulate: bool = False) -> Value:
    """Return a value with others at some places of it, as they follow each other in memory."""
    if accumulate:
        raise UnsupportedError(f"{emitter.name} that adds")
    return emitter.replaced(value_of(emitter, value), places, value_of(emitter, new))


def put_at(emitter: Emitter, value: Argument, indices: Sequence[Any], new: Argument, accumulate: bool = False) -> Value:
    """Return a value with others at some indices."""
    if any(isinstance(index, Value) for index in indices):
        raise UnsupportedError(f"{emitter.name} with indices that depend on inputs")
    whole = value_of(emitter, value)
    numbers = torch.arange(math.prod(whole.shape)).reshape(whole.shape)
    places: Tensor = torch.ops.aten.index(numbers, indices)
    return put(emitter, whole, places, new, accumulate)


def copied(emitter: Emitter, value: Argument, source: Argument) -> Value:
    """Return a source in the shape of a value."""
    shape, new = value_of(emitter, value).shape, value_of(emitter, source)
    return new.seen(lambda n: n.expand(shape)) if new.active else emitter.given(lambda s: s.expand(shape), new)


def zeros(emitter: Emitter, value: Value) -> Value:
    """Return zeros in the shape of a value."""
    return copied(emitter, value, 0.0)


def same(emitter: Emitter, value: Value, **options: Any) -> Value:
    """Return what it takes."""
    return value


HANDLERS: Mapping[str, Callable[..., Several]] = {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "mm": matrix_product,
    "bmm": matrix_products,
    "addmm": affine,
    "baddbmm": affine_products,
    "cat": join,
    "sum": total,
    "mean": mean,
    "linalg_vector_norm": norm,
    "pow": power,
    "clamp": clamp,
    "clamp_min": clamp,
    "clamp_max": lambda emitter, value, high: clamp(emitter, value, None, high),
    "gt": lambda *arguments: greater(False, *arguments),
    "ge": lambda *arguments: greater(True, *arguments),
    "lt": lambda *arguments: less(False, *arguments),
    "le": lambda *arguments: less(True, *arguments),
    "eq": equal,
    "ne": different,
    **dict.fromkeys(("logical_not", "bitwise_not"), negated),
    **dict.fromkeys(("logical_and", "bitwise_and"), multiply),
    **dict.fromkeys(("logical_or", "bitwise_or"), either),
    "where": choose,
    "hardtanh": restrict,
    "softplus": soft,
    "put": put,
    "index_put": put_at,
    **dict.fromkeys(("copy", "fill"), copied),
    "zero": zeros,
    **dict.fromkeys(("clone", "alias", "contiguous", "lift_fresh_copy"), same),
}
"""By the name of the operation."""

ELEMENTWISE = {
    *("add", "sub", "mul", "pow", "clamp", "clamp_min", "clamp_max", "hardtanh", "softplus", "where"),
    *("gt", "ge", "lt", "le", "eq", "ne", "logical_not", "logical_and", "logical_or"),
    *("bitwise_not", "bitwise_and", "bitwise_or"),
    *ELEMENTARY,
}
"""Operations that members of an ensemble go through one by one, by name."""

OF_MEMBERS = ("bmm", "baddbmm")
"""Operations that take members of an ensemble as they are, by name."""

RESHAPES = ("view", "_unsafe_view", "reshape", "_reshape_alias")
"""Operations that keep the order of entries, by name."""

REARRANGEMENTS = (
    *("slice", "select", "index", "index_select", "gather", "take", "diagonal", "unfold"),
    *("expand", "repeat", "permute", "transpose", "t", "squeeze", "unsqueeze", "flip", "roll"),
)
"""Operations that choose entries of their first argument and put them in an order, by name."""
