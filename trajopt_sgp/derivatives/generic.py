"""Derivatives of stage terms for any torch function, by reverse-mode differentiation of the batched call.

Instances do not interact, so one backward pass through the sum over instances differentiates all of them: r passes
give every Jacobian block, d further passes every Hessian block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trajopt_sgp.derivatives.second_order import second_derivatives
from trajopt_sgp.derivatives.stage_term import Parameters, TermFunction
from trajopt_sgp.errors import IncompatibleError

# Above this many passes one batched pass is faster than a loop, despite the overhead of batching.
_LOOP_LIMIT = 12
# Passes batched at once, to bound the memory where one instance is a whole plan.
_BATCH_LIMIT = 64


@dataclass(frozen=True)
class GenericBlocks:
    """Values, Jacobian and Hessian blocks of phi at z `(K, d)`, in the units of the problem."""

    function: TermFunction
    """phi: z `(K, d)` to `(K,)` for a cost, `(K, r)` for a constraint."""
    name: str = "function"
    """Of its term, for messages."""

    def value(self, z: Tensor, parameters: Parameters) -> Tensor:
        """Return phi `(K,)` or `(K, r)`."""
        with torch.no_grad():
            return self.function(z, parameters)

    def jacobian(self, z: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Return phi and its blocks: `(K, d)` for a cost, `(K, r, d)` for a constraint."""
        point = z.detach().requires_grad_(True)
        value = self.function(point, parameters)
        if value.ndim == 1:
            return value.detach(), differentiate(value[:, None], point)[:, 0]
        return value.detach(), differentiate(value, point)

    def gradient(self, z: Tensor, weights: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Return phi and the gradient `(K, d)` of weights . phi, weights in the shape of phi."""
        point = z.detach().requires_grad_(True)
        value = self.function(point, parameters)
        if not value.requires_grad:
            return value, torch.zeros_like(z)
        (gradient,) = torch.autograd.grad(value, point, weights, materialize_grads=True)
        return value.detach(), gradient

    def hessian(self, z: Tensor, multipliers: Tensor, parameters: Parameters) -> Tensor:
        """Return the Hessian blocks `(K, d, d)` of multipliers . phi, multipliers in the shape of phi.

        Raises:
            IncompatibleError: torch has no second derivative of an operation in it; names the term.
        """
        point = z.detach().requires_grad_(True)
        with second_derivatives():
            value = self.function(point, parameters)
        if not value.requires_grad:
            return z.new_zeros((*z.shape, z.shape[-1]))
        (gradient,) = torch.autograd.grad(value, point, multipliers, create_graph=True, materialize_grads=True)
        try:
            return differentiate(gradient, point)
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise IncompatibleError(
                f"{self.name!r} has no second derivatives in torch: {reason}. Solvers that "
                'need none: Ipopt(hessian="limited-memory") or "gauss-newton", LBFGS, GradientDescent, CEM, MPPI.'
            ) from error


def differentiate(columns: Tensor, point: Tensor) -> Tensor:
    """Return the derivative `(K, c, d)` of columns `(K, c)` by the point `(K, d)`, where instances do not interact."""
    count = columns.shape[-1]
    if not columns.requires_grad:
        return point.new_zeros((len(point), count, point.shape[-1]))
    seeds = torch.eye(count, dtype=columns.dtype)[:, None, :].expand(count, *columns.shape)
    if count <= _LOOP_LIMIT:
        rows = [
            torch.autograd.grad(columns, point, seed, retain_graph=True, materialize_grads=True)[0] for seed in seeds
        ]
        return torch.stack(rows, dim=-2)
    batches = [
        torch.autograd.grad(columns, point, part, True, is_grads_batched=True, materialize_grads=True)[0]
        for part in torch.split(seeds, _BATCH_LIMIT)
    ]
    return torch.cat(batches).transpose(0, 1)
