"""Which constraints are of states alone, told by how they compute."""

from collections.abc import Callable
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor

from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, StageConstraint
from trajopt_sgp.problem.casadi_function import CasadiFunction
from trajopt_sgp.problem.probing import depends_on_control


class Learned(torch.nn.Module):
    """A network of the state, or of state and control, that requires gradients itself."""

    def __init__(self, control: bool) -> None:
        super().__init__()
        self.control, self.layer = control, torch.nn.Linear(3 if control else 2, 1, dtype=torch.float64)
        torch.nn.init.zeros_(self.layer.weight)

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        value = self.layer(torch.cat([x, u], dim=-1) if self.control else x)
        return torch.where(value > 3.0, value, torch.zeros_like(value))


class Straight(torch.autograd.Function):
    """Whether a number is above 5, with a gradient of its own."""

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return (z > 5.0).to(z)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


def straight(z: Tensor) -> Tensor:
    result: Tensor = Straight.apply(z)  # type: ignore[no-untyped-call]
    return result


def written(x: Tensor, u: Tensor, wanted: bool) -> Tensor:
    rows = torch.zeros_like(u)
    rows[..., 0] = 0.0 * u[..., 0] if wanted else x[..., 0]
    return rows


def branched(x: Tensor, u: Tensor) -> Tensor:
    return u if bool((x[..., 0] > 5.0).any()) else x[..., :1]


X, U = casadi.SX.sym("x", 2), casadi.SX.sym("u", 1)

USES: dict[str, Callable[..., Tensor]] = {
    "zone": lambda x, u: torch.where(x[..., :1] > 5.0, u, 0.0 * u),
    "rectifier": lambda x, u: torch.relu(x[..., :1] - 5.0) * u,
    "comparison far away": lambda x, u: torch.where((x[..., :1] > 5.0) & (u > 1.0), 1.0, 0.0),
    "detached": lambda x, u: torch.relu(x[..., :1] - 5.0) * u.detach(),
    "data": lambda x, u: torch.relu(x[..., :1] - 5.0) * u.data,
    "NumPy": lambda x, u: torch.relu(x[..., :1] - 5.0) * torch.from_numpy(u.detach().numpy()),
    "list": lambda x, u: torch.relu(x[..., :1] - 5.0) * torch.tensor(u.tolist(), dtype=x.dtype),
    "without gradient": torch.no_grad()(lambda x, u: torch.relu(x[..., :1] - 5.0) * u),
    "integer": lambda x, u: torch.relu(x[..., :1] - 5.0) * u.to(torch.int64),
    "branch": branched,
    "written": lambda x, u: written(x, u, True),
    "index": lambda x, u: torch.relu(x[..., :1] - 5.0) * torch.cat([u, 0.0 * u], -1).max(-1, keepdim=True).indices,
    "gradient of its own": lambda x, u: straight(torch.cat([x, u], dim=-1))[..., :1],
    "vmap": lambda x, u: torch.relu(x[..., :1] - 5.0) * torch.func.vmap(lambda v: (v > 1.0).to(v))(u),
    "network": Learned(control=True),
}
ALONE: dict[str, Callable[..., Tensor]] = {
    "slice": lambda x, u: x[..., :1],
    "zone": lambda x, u: torch.where(x[..., :1] > 5.0, x[..., 1:], 0.0 * x[..., 1:]),
    "form": lambda x, u: (x @ torch.ones(2, 1).to(u)).expand_as(u) + torch.zeros_like(u) + u.new_tensor([1.0]),
    "sizes": lambda x, u: x[..., : u.shape[-1]] + torch.zeros(u.size(), dtype=u.dtype),
    "written": lambda x, u: written(x, u, False),
    "norm": lambda x, u: torch.linalg.norm(x, dim=-1, keepdim=True),
    "gradient of its own": lambda x, u: straight(x),
    "vmap": lambda x, u: torch.func.vmap(lambda y: torch.where(y > 1.0, y, 0.0))(x),
    "constant": lambda x, u: x * torch.as_tensor(np.array([1.0, 2.0])).to(x),
    "network": Learned(control=False),
}


def problem() -> OptimalControlProblem:
    return OptimalControlProblem(
        dynamics=DiscreteDynamics(lambda x, u: x + u, 2, 1),
        horizon=3,
        initial_state=[0.0, 0.0],
        stage_costs=[lambda x, u: x.square().sum(-1)],
        control_bounds=(-0.5, 0.5),
        parameters={"gate": [0.0]},
    )


@pytest.mark.parametrize("name", USES)
def test_a_control_that_is_gated_or_hidden_is_one(name: str) -> None:
    assert depends_on_control(problem(), StageConstraint(USES[name], upper=1.0))


@pytest.mark.parametrize("name", ALONE)
def test_states_alone_are_known(name: str) -> None:
    assert not depends_on_control(problem(), StageConstraint(ALONE[name], upper=1.0))


def test_parameters_open_gates() -> None:
    gated = StageConstraint(lambda x, u, gate: gate * u, upper=0.5, parameters=["gate"])
    assert depends_on_control(problem(), gated)
    beside = StageConstraint(lambda x, u, gate: gate * x, upper=0.5, parameters=["gate"])
    assert not depends_on_control(problem(), beside)


@pytest.mark.parametrize("wrap", [lambda function: function, CasadiFunction])
def test_casadi_functions_tell_by_their_sparsity(wrap: Callable[[casadi.Function], Any]) -> None:
    zone = casadi.Function("zone", [X, U], [casadi.if_else(X[0] > 5.0, U, 0.0)])
    compared = casadi.Function("compared", [X, U], [casadi.if_else(casadi.logic_and(X[0] > 5.0, U > 1.0), 1.0, 0.0)])
    alone = casadi.Function("alone", [X, U], [X[0] * X[1]])
    found = [depends_on_control(problem(), StageConstraint(wrap(each), upper=1.0)) for each in (zone, compared, alone)]
    assert found == [True, True, False]
