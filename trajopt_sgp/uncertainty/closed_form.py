"""Functions of torch whose derivatives are known in closed form, differentiable by `torch.autograd` and `torch.func`.

A field gives the derivatives of a scalar function of z as symmetric tensors. The value, and contractions of a
derivative with directions, are functions whose own derivatives are contractions of the next derivative again; so any
derivative, forward or backward, costs one evaluation of the field and small products.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from trajopt_sgp.derivatives.traced.recording import decline_recording
from trajopt_sgp.errors import IncompatibleError


@runtime_checkable
class Field(Protocol):
    """A scalar function of z with parameters sigma that are not differentiated."""

    highest_order: int
    """Of the derivatives that it has."""

    def derivative(self, z: Tensor, sigma: Tensor, order: int, expected: int) -> Tensor:
        """Return the derivative of an order at z `(..., d)`, sigma `(..., 1)`: `(..., d, ..., d)`, a tensor of its own.

        `expected` is the highest order that will be asked for at the same place; the field may compute it as well.
        """


def field_value(field: Field, z: Tensor, sigma: Tensor) -> Tensor:
    """Return the function at z `(..., d)`, sigma `(..., 1)`: `(...)`."""
    value: Tensor = _Value.apply(z, sigma, field, _differentiated(z))  # type: ignore[no-untyped-call]
    return value


def field_gradient(field: Field, z: Tensor, sigma: Tensor) -> Tensor:
    """Return its gradient, `(..., d)`."""
    return _contraction(field, z, sigma, ())


def _contraction(field: Field, z: Tensor, sigma: Tensor, directions: Sequence[Tensor]) -> Tensor:
    result: Tensor = _Contraction.apply(z, sigma, field, _differentiated(z), *directions)  # type: ignore[no-untyped-call]
    return result


def _differentiated(z: Tensor) -> bool:
    """Return whether a function of z is going to be differentiated."""
    return z.requires_grad and torch.is_grad_enabled()


def _derivative(field: Field, z: Tensor, sigma: Tensor, order: int, differentiated: bool = False) -> Tensor:
    if order > field.highest_order:
        name = type(field).__name__
        raise IncompatibleError(f"{name} has derivatives in closed form up to order {field.highest_order} only.")
    decline_recording("it has a closed form of its own")
    return field.derivative(z.detach(), sigma.detach(), order, min(order + differentiated, field.highest_order))


def _contracted(tensor: Tensor, directions: Sequence[Tensor]) -> Tensor:
    """Return a tensor `(..., d, ..., d, d)` contracted with directions `(..., d)`, one axis after the other."""
    for k, direction in enumerate(directions):
        rest = len(directions) - k
        shape = (*direction.shape[:-1], *[1] * (rest - 1), direction.shape[-1], 1)
        tensor = (tensor @ direction.reshape(shape)).squeeze(-1)
    return tensor


def _pulled_back(ctx: Any, directions: Sequence[Tensor], seed: Tensor) -> Tensor:
    """Return the contraction with directions and a seed, which is differentiable where that is wanted."""
    z, sigma = ctx.saved_tensors[:2]
    if torch.is_grad_enabled() and not is_legacy_batchedtensor(seed):
        return _contraction(ctx.field, z, sigma, (*directions, seed))
    # batched seeds of `is_grads_batched` must pass through operations of torch
    return _contracted(_derivative(ctx.field, z, sigma, len(directions) + 2), (*directions, seed))


class _Value(torch.autograd.Function):
    """z `(..., d)`, sigma `(..., 1)` to the value `(...)`."""

    @staticmethod
    def forward(z: Tensor, sigma: Tensor, field: Field, differentiated: bool) -> Tensor:
        return _derivative(field, z, sigma, 0, differentiated)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        z, sigma, ctx.field, _ = inputs
        _save(ctx, z, sigma)

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple[Tensor | None, ...]:
        (z, sigma), (seed,) = ctx.saved_tensors, seeds
        if seed is None:
            return None, None, None, None
        if torch.is_grad_enabled():
            gradient = field_gradient(ctx.field, z, sigma)
        else:
            gradient = _derivative(ctx.field, z, sigma, 1)
        return seed.unsqueeze(-1) * gradient, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        z, sigma = ctx.saved_tensors
        _refuse_sigma(tangents[1] is not None)
        slope: Tensor = (field_gradient(ctx.field, z, sigma) * tangents[0]).sum(-1)
        return slope

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        z, sigma, field, _ = _batch_first(in_dims, arguments)
        return field_value(field, z, sigma), 0


class _Contraction(torch.autograd.Function):
    """z `(..., d)`, sigma and k directions `(..., d)` to the derivative of order k + 1 contracted with all of them."""

    @staticmethod
    def forward(z: Tensor, sigma: Tensor, field: Field, differentiated: bool, *directions: Tensor) -> Tensor:
        return _contracted(_derivative(field, z, sigma, len(directions) + 1, differentiated), directions)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        z, sigma, ctx.field, _, *directions = inputs
        _save(ctx, z, sigma, *directions)

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple[Tensor | None, ...]:
        (_, _, *directions), (seed,) = ctx.saved_tensors, seeds
        if seed is None:
            return None, None, None, None, *[None for _ in directions]
        wanted = ctx.needs_input_grad
        found: list[Tensor | None] = [_pulled_back(ctx, directions, seed) if wanted[0] else None, None, None, None]
        for k in range(len(directions)):
            others = (*directions[:k], *directions[k + 1 :])
            found.append(_pulled_back(ctx, others, seed) if wanted[4 + k] else None)
        return tuple(found)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        z, sigma, *directions = ctx.saved_tensors
        _refuse_sigma(tangents[1] is not None)
        parts = [] if tangents[0] is None else [_contraction(ctx.field, z, sigma, (*directions, tangents[0]))]
        for k, tangent in enumerate(tangents[4:]):
            if tangent is not None:
                moved = (*directions[:k], tangent, *directions[k + 1 :])
                parts.append(_contraction(ctx.field, z, sigma, moved))
        total: Tensor = sum(parts[1:], parts[0])
        return total

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        z, sigma, field, _, *directions = _batch_first(in_dims, arguments)
        return _contraction(field, z, sigma, directions), 0


def _save(ctx: Any, *tensors: Tensor) -> None:
    _refuse_sigma(ctx.needs_input_grad[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


def _refuse_sigma(asked: bool) -> None:
    if asked:
        raise IncompatibleError("The smoothed distance in closed form is not differentiated by sigma; detach it.")


def _batch_first(dims: Sequence[int | None], arguments: Sequence[Any]) -> list[Any]:
    """Return arguments with their batch first; tensors without one get a batch of 1, and are not evaluated again."""
    return [
        (part.unsqueeze(0) if dim is None else part.movedim(dim, 0)) if isinstance(part, Tensor) else part
        for dim, part in zip(dims, arguments, strict=True)
    ]
