"""Elementwise functions with their first and second derivatives, of input x and result y."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Elementary:
    """A function and its derivatives."""

    function: Callable[[Tensor], Tensor]
    first: Callable[[Tensor, Tensor], Tensor]
    second: Callable[[Tensor, Tensor], Tensor] | None
    """None where it is zero almost everywhere."""


def power(exponent: float) -> Elementary:
    """Return x to a constant exponent."""
    if exponent == 2.0:
        return Elementary(torch.square, lambda x, y: 2.0 * x, lambda x, y: torch.full_like(x, 2.0))
    n = exponent
    return Elementary(
        lambda x: torch.pow(x, n),
        lambda x, y: n * torch.pow(x, n - 1.0),
        lambda x, y: n * (n - 1.0) * torch.pow(x, n - 2.0),
    )


def clamp(low: float | None, high: float | None) -> Elementary:
    """Return x moved into an interval, with the derivative of torch at its ends."""
    below, above = -torch.inf if low is None else low, torch.inf if high is None else high
    return Elementary(lambda x: x.clamp(below, above), lambda x, y: ((x >= below) & (x <= above)).to(x), None)


def _silu_first(x: Tensor, y: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate + y * (1.0 - gate)


def _silu_second(x: Tensor, y: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate * (1.0 - gate) * (2.0 + x * (1.0 - 2.0 * gate))


def _step(x: Tensor) -> Tensor:
    return (x > 0.0).to(x)


def _softplus_second(x: Tensor, y: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    # torch's softplus goes over to the identity above 20
    return torch.where(x > 20.0, 0.0, gate * (1.0 - gate))


ELEMENTARY = {
    "tanh": Elementary(torch.tanh, lambda x, y: 1.0 - y * y, lambda x, y: -2.0 * y * (1.0 - y * y)),
    "silu": Elementary(torch.nn.functional.silu, _silu_first, _silu_second),
    "sigmoid": Elementary(torch.sigmoid, lambda x, y: y * (1.0 - y), lambda x, y: y * (1.0 - y) * (1.0 - 2.0 * y)),
    "relu": Elementary(torch.relu, lambda x, y: _step(x), None),
    "elu": Elementary(
        torch.nn.functional.elu,
        lambda x, y: torch.where(x > 0.0, 1.0, y + 1.0),
        lambda x, y: torch.where(x > 0.0, 0.0, y + 1.0),
    ),
    "softplus": Elementary(
        torch.nn.functional.softplus,
        lambda x, y: torch.where(x > 20.0, 1.0, torch.sigmoid(x)),
        _softplus_second,
    ),
    "sin": Elementary(torch.sin, lambda x, y: torch.cos(x), lambda x, y: -y),
    "cos": Elementary(torch.cos, lambda x, y: -torch.sin(x), lambda x, y: -y),
    "exp": Elementary(torch.exp, lambda x, y: y, lambda x, y: y),
    "log": Elementary(torch.log, lambda x, y: 1.0 / x, lambda x, y: -1.0 / (x * x)),
    "sqrt": Elementary(torch.sqrt, lambda x, y: 0.5 / y, lambda x, y: -0.25 / (y * x)),
    "rsqrt": Elementary(torch.rsqrt, lambda x, y: -0.5 * y / x, lambda x, y: 0.75 * y / (x * x)),
    "reciprocal": Elementary(torch.reciprocal, lambda x, y: -y * y, lambda x, y: 2.0 * y * y * y),
    "abs": Elementary(torch.abs, lambda x, y: torch.sign(x), None),
    "neg": Elementary(torch.neg, lambda x, y: torch.full_like(x, -1.0), None),
}
"""By the name of the operation in torch."""
