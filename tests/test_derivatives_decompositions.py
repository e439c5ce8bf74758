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
    "leaky relu of another slope": lambda z: nn.functional.leaky_relu(z, 0.3).sum(-1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_decompositions(name: str, generator: torch.Generator) -> None:
    assert_closed_form(FUNCTIONS[name], *points(generator))
