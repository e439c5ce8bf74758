"""Elementwise functions, one table for both closed forms, have the derivatives of torch.func, also where they bend."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trajopt_sgp.derivatives.fused.rollout import FusedRollout
from trajopt_sgp.derivatives.traced import TracedBlocks
from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, Code

Function = Callable[[Tensor], Tensor]

_FUNCTIONS: dict[Code, tuple[Function, ...]] = {
    Code.SQUARE: (torch.square,),
    Code.POWER: (lambda x: x**3, lambda x: x**-2.0, lambda x: x**1.5, lambda x: x**4),
    Code.CLAMP: (lambda x: x.clamp(-0.5, 0.8), lambda x: x.clamp(max=0.5), lambda x: x.clamp_min(-2.0)),
    Code.ROOT: (lambda x: x[..., None].norm(dim=-1), lambda x: x[..., None].norm(p=3, dim=-1)),
    Code.SOFTPLUS: (
        nn.functional.softplus,
        lambda x: nn.functional.softplus(x, 1.0, 5.0),
        lambda x: nn.functional.softplus(x, 2.0),
        nn.functional.logsigmoid,
    ),
    Code.HARDTANH: (nn.functional.hardtanh, nn.functional.relu6, lambda x: nn.functional.hardtanh(x, -0.3, 0.8)),
    Code.DETACH: (lambda x: x.detach() * x,),
    Code.POSITIVE: (lambda x: (x > 0.5) * x,),
    Code.NOT_NEGATIVE: (lambda x: (x >= 0.5) * x,),
}
"""Those that are not the function of torch that they are named after."""

_ALL = [
    pytest.param(function, id=f"{code.name.lower()} {number}")
    for code in Code
    for number, function in enumerate(
        _FUNCTIONS.get(code) or (getattr(torch, code.name.lower(), None) or getattr(nn.functional, code.name.lower()),)
    )
]

# interior points, zero, where a function of the table bends, and far off
POINTS = torch.tensor(
    [0.3, -0.3, 0.0, 0.5, -0.5, 0.8, -2.0, 0.99, 1.7, -3.0, 7.0, 19.5, 20.5, -25.0], dtype=torch.float64
)


def slopes(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return first and second derivatives of an elementwise function."""

    def total(x: Tensor) -> Tensor:
        return function(x).sum()

    first = torch.func.grad(total)
    return first(x), torch.func.jacrev(first)(x).diagonal()


def assert_close(found: Tensor, expected: Tensor) -> None:
    finite = torch.isfinite(expected)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-12, atol=1e-14)


def test_every_name_is_one_of_torch() -> None:
    assert {elementary.code for elementary in ELEMENTARY.values()} | set(_FUNCTIONS) == set(Code)


@pytest.mark.parametrize("function", _ALL)
def test_closed_forms_are_those_of_torch(function: Function) -> None:
    z = POINTS[:, None]
    traced = TracedBlocks(lambda z: function(z)[..., 0], 0.1 + 0.5 * torch.ones_like(z), [])
    first, second = slopes(function, POINTS)
    value, jacobian = traced.jacobian(z.numpy(), [])
    hessian = traced.hessian(z.numpy(), np.ones(len(z)), [])
    assert_close(torch.from_numpy(value), function(POINTS))
    assert_close(torch.from_numpy(jacobian[:, 0]), first)
    assert_close(torch.from_numpy(hessian[:, 0, 0]), second)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("function", _ALL)
def test_compiled_rollouts_know_all_that_closed_forms_know(function: Function, dtype: torch.dtype) -> None:
    example = torch.full((1,), 0.4, dtype=dtype)
    rollout = FusedRollout(lambda x, u: function(x) + u, example, example)
    x, u = POINTS[:, None].to(dtype).requires_grad_(True), torch.zeros(len(POINTS), 1, 1, dtype=dtype)
    after = rollout(x, u)[:, 1, 0]
    (slope,) = torch.autograd.grad(after.sum(), x)
    if dtype is torch.float64:
        assert_close(after.detach(), function(POINTS))
        assert_close(slope[:, 0], slopes(function, POINTS)[0])
    else:
        expected = function(POINTS.float())
        finite = torch.isfinite(expected)
        torch.testing.assert_close(after.detach()[finite], expected[finite], rtol=1e-5, atol=1e-6)
