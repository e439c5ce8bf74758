"""Steps exported through l4casadi: the same results as torch, and C code that runs on its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trajopt_sgp.derivatives.l4casadi_export import export_step, write_c
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.models.integrators import INTEGRATORS
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics

# l4casadi exports through TorchScript, which torch has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The TorchScript type system:UserWarning"),
]

KNOTS, N, M = 3, 2, 1


class Network(nn.Module):
    """A small network of state and control, in float64."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(N + M, 8), nn.Tanh(), nn.Linear(8, N)).double()
        for parameter in self.net.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        value: Tensor = self.net(torch.cat([state, control], dim=-1))
        return value


@pytest.fixture
def network(generator: torch.Generator) -> Network:
    return Network(generator)


def expected(step: Callable[[Tensor, Tensor], Tensor], z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and Hessian by torch, stacked column by column like CasADi's."""

    def flat(columns: Tensor) -> Tensor:
        rows = columns.reshape(N + M, KNOTS).T
        return step(rows[:, :N], rows[:, N:]).T.reshape(-1)

    columns = z.T.reshape(-1)
    jacobian = torch.func.jacrev(flat)(columns)
    hessian = torch.func.hessian(lambda c: (flat(c) * weights.T.reshape(-1)).sum())(columns)
    return flat(columns).reshape(N, KNOTS).T, jacobian, hessian


@pytest.mark.parametrize(("integrator", "substeps"), [(None, 1), ("euler", 1), ("midpoint", 1), ("rk4", 2)])
def test_derivatives_are_those_of_torch(
    network: Network, generator: torch.Generator, tmp_path: Path, integrator: str | None, substeps: int
) -> None:
    pytest.importorskip("l4casadi", reason="l4casadi is not installed: `make test` builds it")
    z = torch.randn(KNOTS, N + M, generator=generator, dtype=torch.float64)
    weights = torch.randn(KNOTS, N, generator=generator, dtype=torch.float64)
    if integrator is None:
        exported = export_step(DiscreteDynamics(network, N, M), KNOTS, tmp_path)
        reference = expected(network, z, weights)
    else:
        dynamics = ContinuousDynamics(network, N, M)
        exported = export_step(dynamics, KNOTS, tmp_path, time_step=0.2, integrator=integrator, substeps=substeps)

        def advance(state: Tensor, control: Tensor) -> Tensor:
            for _ in range(substeps):
                state = INTEGRATORS[integrator](network, state, control, 0.2 / substeps)
            return state

        reference = expected(advance, z, weights)
    found = exported.derivatives(z.numpy(), weights.numpy())
    for value, target in zip(found, reference, strict=True):
        np.testing.assert_allclose(np.array(value), target.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_jacobian_and_hessian_are_sparse(network: Network, tmp_path: Path) -> None:
    pytest.importorskip("l4casadi", reason="l4casadi is not installed: `make test` builds it")
    derivatives = export_step(DiscreteDynamics(network, N, M), KNOTS, tmp_path).derivatives
    assert derivatives.sparsity_out("jacobian").nnz() == KNOTS * N * (N + M)
    assert derivatives.sparsity_out("hessian").nnz() == KNOTS * (N + M) ** 2


def test_c_code_runs_in_another_process(
    network: Network, generator: torch.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("l4casadi", reason="l4casadi is not installed: `make test` builds it")
    monkeypatch.chdir(tmp_path)
    step = export_step(DiscreteDynamics(network, N, M), KNOTS, tmp_path / "step")
    exported = write_c(step.derivatives, step, tmp_path / "c")
    numbers = np.random.default_rng(0).normal(size=KNOTS * (N + M) + KNOTS * N)
    z, weights = (part.reshape(KNOTS, -1, order="F") for part in np.split(numbers, [KNOTS * (N + M)]))
    environment = {"PATH": os.environ["PATH"]}
    result = subprocess.run(
        [exported.program, step.derivatives.name()],
        input=" ".join(map(repr, numbers.tolist())),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = np.array(result.stdout.split(), dtype=np.float64)
    outputs = step.derivatives(z, weights)
    np.testing.assert_allclose(found, np.concatenate([np.array(v.nonzeros()) for v in outputs]), rtol=1e-12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "step"]
    assert exported.source.read_text().startswith("/* This file was automatically generated by CasADi")
    loaded = casadi.external(step.derivatives.name(), str(exported.shared))
    np.testing.assert_allclose(np.array(loaded(z, weights)[0]), np.array(outputs[0]), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_step": 0.1}, "discrete: they take no time_step"),
        ({"integrator": "leapfrog"}, "choose from 'euler', 'midpoint', 'rk4'"),
        ({"substeps": 0}, "substeps = 0"),
        ({"name": "a b"}, "name = 'a b'"),
        ({"knots": 0}, "knots = 0"),
        ({"folder": "with space"}, "must not contain spaces"),
    ],
)
def test_wrong_options_are_refused(network: Network, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    folder = tmp_path / options.get("folder", "step")
    rest = {name: value for name, value in options.items() if name not in ("folder", "knots")}
    with pytest.raises(OptionError, match=message):
        export_step(DiscreteDynamics(network, N, M), options.get("knots", KNOTS), folder, **rest)


def test_continuous_dynamics_need_a_time_step(network: Network, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="continuous: give a time_step"):
        export_step(ContinuousDynamics(network, N, M), KNOTS, tmp_path)


def test_wrong_shape_is_refused(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"\(3, 2\); it must be \(3, 1\)"):
        export_step(DiscreteDynamics(lambda x, u: torch.cat([x, x], -1), 1, 1), KNOTS, tmp_path)


def test_casadi_dynamics_and_parameters_are_refused(network: Network, tmp_path: Path) -> None:
    x, u = casadi.SX.sym("x", N), casadi.SX.sym("u", M)
    written = DiscreteDynamics(casadi.Function("f", [x, u], [x + u]), N, M)
    with pytest.raises(IncompatibleError, match="written in CasADi"):
        export_step(written, KNOTS, tmp_path)
    with pytest.raises(IncompatibleError, match=r"parameters \(mass\)"):
        export_step(DiscreteDynamics(lambda x, u, mass: x, N, M, parameters=["mass"]), KNOTS, tmp_path)


def test_missing_l4casadi_is_told(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['l4casadi'] = None\n"
        "from trajopt_sgp.derivatives.l4casadi_export import export_step\n"
        "from trajopt_sgp.problem import DiscreteDynamics\n"
        f"export_step(DiscreteDynamics(lambda x, u: x, 1, 1), 2, {str(tmp_path)!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "IncompatibleError: l4casadi is not installed" in result.stderr


@pytest.mark.parametrize("mixed", ["product", "sum"])
def test_double_precision_that_does_not_follow_is_named(mixed: str, tmp_path: Path) -> None:
    matrix = torch.eye(N, dtype=torch.float64)
    functions = {"product": lambda x, u: x @ matrix + u, "sum": lambda x, u: x + u * matrix[0]}
    with pytest.raises(IncompatibleError, match=r"constant.to\(state\)"):
        export_step(DiscreteDynamics(functions[mixed], N, M), KNOTS, tmp_path)
