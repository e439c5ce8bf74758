"""Operations of a traced function: value, tangents, adjoint and curvature.

Letters: K instances, d variables of an instance. A value has shape `(K, ...)`, its tangents `(d, K, ...)`, its adjoint,
the derivative of a weighted sum of the outputs by it, `(K, ...)`. The Hessian of that sum is the sum over all
nonlinear operations of adjoint times second derivative times the outer product of the tangents.
"""

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operation(ABC):
    """One step of a traced function."""

    output: int
    """Place of its value."""
    inputs: tuple[int, ...]
    """Places of the values it takes."""

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        raise NotImplementedError

    def slope(self, values: Sequence[Tensor], result: Tensor) -> Tensor | None:
        """Return what tangents and adjoints both need and is computed once."""
        return None

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return the tangents `(d, K, ...)`; None stands for an input that does not depend on the variables."""
        raise NotImplementedError

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return what the adjoint of the output adds to that of every input."""
        raise NotImplementedError

    def curvature(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], adjoint: Tensor, result: Tensor
    ) -> Tensor | None:
        """Return what the operation adds to the Hessian, `(K, d, d)`."""
        return None


@dataclass(frozen=True)
class Linear(Operation):
    """A linear function of one input that leaves leading dimensions alone."""

    forward: Callable[[Tensor], Tensor]
    """Applies to values and, with one dimension more, to tangents."""
    backward: Callable[[Tensor], Tensor]
    """Its transpose."""

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        return self.forward(values[0])

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return the same function of the tangents."""
        (tangent,) = tangents
        return self.forward(_known(tangent))

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return the transpose of the adjoint."""
        return (self.backward(adjoint),)


@dataclass(frozen=True)
class Affine(Operation):
    """x W + b with constant W `(in, out)` and b `(out,)`."""

    weight: Tensor
    bias: Tensor | None

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        if self.bias is None:
            return values[0] @ self.weight
        return torch.addmm(self.bias, values[0], self.weight)

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return T W, all tangents in one product."""
        tangent = _known(tangents[0])
        flat = tangent.reshape(-1, tangent.shape[-1]) @ self.weight
        return flat.reshape(*tangent.shape[:-1], -1)

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return A W'."""
        return (adjoint @ self.weight.T,)


@dataclass(frozen=True)
class Elementwise(Operation):
    """A function applied to every entry."""

    function: Callable[[Tensor], Tensor]
    first: Callable[[Tensor, Tensor], Tensor]
    """Derivative, of input and result."""
    second: Callable[[Tensor, Tensor], Tensor] | None
    """Second derivative, of input and result; None where it is zero almost everywhere."""

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        return self.function(values[0])

    def slope(self, values: Sequence[Tensor], result: Tensor) -> Tensor | None:
        """Return f'(x)."""
        return self.first(values[0], result)

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return f'(x) T."""
        return _known(slope) * _known(tangents[0])

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return f'(x) A."""
        return (_known(slope) * adjoint,)

    def curvature(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], adjoint: Tensor, result: Tensor
    ) -> Tensor | None:
        """Return the sum over the entries of A f''(x) T T'."""
        if self.second is None:
            return None
        rows = _rows(_known(tangents[0]))
        weights = (adjoint * self.second(values[0], result)).reshape(len(rows), 1, -1)
        product: Tensor = (rows * weights) @ rows.mT
        return product


@dataclass(frozen=True)
class Sum(Operation):
    """x + factor * y, with broadcasting."""

    factor: float
    shapes: tuple[Shape, ...]

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        return values[0] + (values[1] if self.factor == 1.0 else self.factor * values[1])

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return the sum of the tangents."""
        first, second = tangents
        if first is None:
            return _spread(self.factor * _known(second), result)
        if second is None:
            return _spread(first, result)
        return first + (second if self.factor == 1.0 else self.factor * second)

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return the adjoint for both, summed where an input was spread."""
        return reduce_to(adjoint, values[0].shape), reduce_to(self.factor * adjoint, values[1].shape)


@dataclass(frozen=True)
class Product(Operation):
    """x * y, with broadcasting."""

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        return values[0] * values[1]

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return T_x y + x T_y."""
        (x, y), (first, second) = values, tangents
        if first is None:
            return x * _known(second)
        return first * y if second is None else first * y + x * second

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return A y and A x."""
        x, y = values
        return reduce_to(adjoint * y, x.shape), reduce_to(adjoint * x, y.shape)

    def curvature(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], adjoint: Tensor, result: Tensor
    ) -> Tensor | None:
        """Return A (T_x T_y' + T_y T_x')."""
        first, second = tangents
        if first is None or second is None:
            return None
        left = _rows(_spread(first, result)) * adjoint.reshape(len(adjoint), 1, -1)
        half: Tensor = left @ _rows(_spread(second, result)).mT
        return half + half.mT


@dataclass(frozen=True)
class Joined(Operation):
    """Inputs side by side along a dimension counted from the end."""

    axis: int
    sizes: tuple[int, ...]

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        return torch.cat(values, dim=self.axis)

    def tangents(
        self, values: Sequence[Tensor], tangents: Sequence[Tensor | None], result: Tensor, slope: Tensor | None
    ) -> Tensor:
        """Return the tangents side by side, zero for inputs that have none."""
        count = next(len(tangent) for tangent in tangents if tangent is not None)
        pairs = zip(values, tangents, strict=True)
        parts = [value.new_zeros((count, *value.shape)) if tangent is None else tangent for value, tangent in pairs]
        return torch.cat(parts, dim=self.axis)

    def adjoints(
        self, values: Sequence[Tensor], adjoint: Tensor, result: Tensor, slope: Tensor | None
    ) -> Sequence[Tensor | None]:
        """Return the part of each."""
        return torch.split(adjoint, list(self.sizes), dim=self.axis)


@dataclass(frozen=True)
class Data(Operation):
    """Any function of values that do not depend on the variables."""

    function: Callable[..., Tensor]

    def value(self, *values: Tensor) -> Tensor:
        """Return the value."""
        return self.function(*values)


def reduce_to(tensor: Tensor, shape: Shape) -> Tensor:
    """Return a tensor summed over the dimensions along which `shape` was spread to its own."""
    return tensor if tensor.shape == shape else tensor.sum_to_size(shape)


def _rows(tangents: Tensor) -> Tensor:
    """Return tangents `(d, K, ...)` as `(K, d, entries)`."""
    count, instances = tangents.shape[:2]
    return tangents.reshape(count, instances, -1).transpose(0, 1)


def _spread(tangents: Tensor, result: Tensor) -> Tensor:
    return tangents.expand(len(tangents), *result.shape)


def _known(tensor: Any) -> Tensor:
    known: Tensor = tensor
    return known
