"""l4casadi as people use it: a torch network becomes a compiled CasADi function."""

from pathlib import Path

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("l4casadi", reason="l4casadi is not installed: `make test` builds it")

# l4casadi exports through TorchScript, which torch has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The TorchScript type system:UserWarning"),
]

INPUTS, OUTPUTS = 5, 4


@pytest.fixture
def network(generator: torch.Generator) -> nn.Sequential:
    """A small tanh network in float32, the precision in which l4casadi computes."""
    net = nn.Sequential(nn.Linear(INPUTS, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, OUTPUTS))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    return net


@pytest.fixture
def function(network: nn.Sequential, tmp_path: Path) -> casadi.Function:
    """The network behind l4casadi, with its value and Jacobian, from a column to a row."""
    from l4casadi import L4CasADi

    model = L4CasADi(network, name="network", build_dir=str(tmp_path))
    z = casadi.MX.sym("z", INPUTS)
    value = model(z.T)
    return casadi.Function("both", [z], [value, casadi.jacobian(value, z)])


@pytest.fixture
def point(generator: torch.Generator) -> Tensor:
    """Where network and function are compared, of shape `(INPUTS,)`."""
    return torch.randn(INPUTS, generator=generator)


def test_value_is_that_of_torch(function: casadi.Function, network: nn.Sequential, point: Tensor) -> None:
    value, _ = function(point.numpy())
    np.testing.assert_allclose(np.asarray(value).ravel(), network(point).numpy(), rtol=1e-5, atol=1e-6)


def test_jacobian_is_that_of_torch(function: casadi.Function, network: nn.Sequential, point: Tensor) -> None:
    _, jacobian = function(point.numpy())
    expected = torch.func.jacrev(network)(point)
    np.testing.assert_allclose(np.asarray(jacobian), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_computes_in_single_precision(function: casadi.Function, network: nn.Sequential, point: Tensor) -> None:
    """The reason why l4casadi is never the default: a double-precision solver gets eight digits at best."""
    value, _ = function(point.double().numpy())
    error = np.abs(np.asarray(value).ravel() - network.double()(point.double()).numpy()).max()
    assert 1e-10 < error < 1e-5
