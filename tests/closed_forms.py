"""Closed forms beside torch.func, at any points, those where functions bend among them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.derivatives.traced import TracedBlocks

Function = Callable[[Tensor], Tensor]


class StraightThrough(torch.autograd.Function):
    """A limit whose gradient goes on as if there were none."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clamp(-3.0, 3.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def assert_closed_form(function: Function, *points: Tensor, reference: Function | None = None) -> None:
    """Compare values, Jacobians and Hessians of a function traced at the first of several points `(K, d)`.

    Where torch has no finite derivative there is nothing to compare.

    Args:
        function: of z `(K, d)`.
        points: where to compare.
        reference: the same function where torch.func cannot differentiate it twice.
    """
    with torch.no_grad():
        traced = TracedBlocks(function, points[0], [])

    def one(z: Tensor) -> Tensor:
        return (reference or function)(z[None])[0]

    for point in points:
        z = point.numpy()
        value, jacobian = traced.jacobian(z, [])
        weights = torch.linspace(-1.0, 2.0, value.size, dtype=point.dtype).reshape(value.shape)
        hessian = traced.hessian(z, weights.numpy(), [])
        rows = list(zip(point, weights, strict=True))
        bend = [torch.func.jacrev(torch.func.jacrev(lambda z, w=w: (w * one(z)).sum()))(row) for row, w in rows]
        assert_close(value, function(point), 1e-12)
        assert_close(jacobian, torch.stack([torch.func.jacrev(one)(row) for row in point]), 1e-10)
        assert_close(hessian, torch.stack(bend), 1e-9)


def assert_close(found: object, expected: Tensor, tolerance: float) -> None:
    """Compare with numbers of torch, where these are finite."""
    finite = torch.isfinite(expected)
    np.testing.assert_allclose(
        torch.as_tensor(found)[finite], expected[finite].detach(), rtol=tolerance, atol=tolerance, equal_nan=False
    )
