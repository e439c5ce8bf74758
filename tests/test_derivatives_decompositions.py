"""What is made of operations with closed forms has the derivatives of torch.func, at interior points and at kinks."""

import pytest
import torch
from torch import nn

from tests.closed_forms import Function, assert_closed_form

K, D = 6, 4
ZERO = torch.zeros((K, D), dtype=torch.float64)


def points(generator: torch.Generator) -> list[torch.Tensor]:
    """Return points inside, at zero where branches meet, with some entries at zero, and far from it."""
    inside = torch.randn((K, D), generator=generator, dtype=torch.float64)
    some = inside * (inside > 0.0)
    return [inside, ZERO, some, 10.0 * inside, -3.0 * inside]


FUNCTIONS: dict[str, Function] = {
    "leaky relu": nn.functional.leaky_relu,
    "norm": lambda z: z.norm(dim=-1),
    "norm along one of two dimensions": lambda z: (z.reshape(-1, 2, 2) + 0.0).norm(dim=1, keepdim=True).flatten(1),
    "other norms": lambda z: z.norm(p=3, dim=-1) + z.norm(p=1, dim=-1) + 2.0 * z.norm(p=4, dim=-1),
    "hypot": lambda z: torch.hypot(z[..., 0], z[..., 1]),
    "deviation": lambda z: z.std(-1) + z.std(-1, correction=0),
    "maximum and minimum": lambda z: (
        torch.maximum(z[..., :2], z[..., 2:]) - 3.0 * torch.minimum(z[..., :2], z[..., 2:])
    ),
    "maximum with a constant": lambda z: torch.maximum(z, torch.zeros(())) + torch.minimum(z, torch.ones(())),
    "leaky relu of another slope": lambda z: nn.functional.leaky_relu(z, 0.3).sum(-1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_decompositions(name: str, generator: torch.Generator) -> None:
    assert_closed_form(FUNCTIONS[name], *points(generator))
