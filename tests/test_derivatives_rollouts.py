"""Compiled rollouts agree with PyTorch's, in values and gradients, whatever the network, and follow its weights."""

import ctypes
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.closed_forms import StraightThrough
from trajopt_sgp.derivatives.fused import codes
from trajopt_sgp.derivatives.fused.rollout import FusedRollout
from trajopt_sgp.derivatives.fused.row_blocks import blocks_of_rows
from trajopt_sgp.derivatives.rollout import Rollout, roll_out
from trajopt_sgp.envs import CartPoleDynamics, sample_cartpole_transitions
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.models.integrators import rk4
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import GradientDescent, solve

Step = Callable[[Tensor, Tensor], Tensor]

_ACTIVATIONS = {
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}
_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


class _Residual(nn.Module):
    """x + increment, the hidden layers with skip connections and normalised where asked for."""

    def __init__(self, width: int, depth: int, activation: str, normalised: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(width + depth)
        sizes = [5, *[width] * depth, 4]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        for parameter in self.parameters():
            parameter.data = 0.8 * torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5
        self.activation = _ACTIVATIONS[activation]()
        self.norm: nn.Module = nn.LayerNorm(width) if normalised else nn.Identity()
        self.normalised = normalised

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        hidden = torch.cat([state, control], dim=-1)
        for layer in self.layers[:-1]:
            after = self.activation(layer(hidden))
            skip = self.normalised and after.shape == hidden.shape
            hidden = self.norm(after + hidden if skip else after)
        step: Tensor = self.layers[-1](hidden)
        return state + 0.1 * step


def _compare(step: Step, batch: int, dtype: torch.dtype = torch.float64, horizon: int = 12) -> Rollout:
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(batch, 4, generator=generator).to(dtype).requires_grad_(True)
    controls = torch.randn(batch, horizon, 1, generator=generator).to(dtype).requires_grad_(True)
    weights = torch.randn(batch, horizon + 1, 4, generator=generator).to(dtype)
    rollout = Rollout(step)
    results = []
    for function in (rollout, lambda x, u: roll_out(step, x, u)):
        states = function(start, controls)
        cost = (weights * states).sum() + states.square().sum()
        results.append([states.detach(), *torch.autograd.grad(cost, [start, controls])])
    for found, expected in zip(*results, strict=True):
        assert float((found - expected).abs().max()) <= _TOLERANCE[dtype] * float(expected.abs().max())
    assert rollout.backend.startswith("compiled"), rollout.backend
    return rollout


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [1, 3, 4, 70])
@pytest.mark.parametrize(("width", "depth"), [(7, 1), (64, 2), (33, 4)])
@pytest.mark.parametrize("activation", list(_ACTIVATIONS))
def test_networks_agree(activation: str, width: int, depth: int, batch: int, dtype: torch.dtype) -> None:
    _compare(_Residual(width, depth, activation).to(dtype).requires_grad_(False), batch, dtype)


@pytest.mark.parametrize(
    "bend",
    [
        lambda z: nn.functional.elu(z, 0.3),
        nn.functional.selu,
        lambda z: nn.functional.celu(z, 2.5),
        lambda z: nn.functional.softplus(z, beta=5.0),
        nn.functional.gelu,
        nn.functional.leaky_relu,
        lambda z: z.clamp(-0.3, 0.5) + (z**3).atan(),
    ],
)
@pytest.mark.parametrize("batch", [1, 9])
def test_activations_with_constants_of_their_own_agree(bend: Callable[[Tensor], Tensor], batch: int) -> None:
    mix = torch.linspace(-1.0, 1.0, 16, dtype=torch.float64).reshape(4, 4)
    _compare(lambda x, u: x + 0.1 * bend(x @ mix + u), batch)


def test_what_differs_far_from_the_example_alone_is_rolled_out_in_pytorch() -> None:
    """Its branch is one of memory that is read behind the back of PyTorch; or its gradient is another one there."""

    def folded(x: Tensor, u: Tensor) -> Tensor:
        first = ctypes.c_double.from_address(x.data_ptr()).value
        return x + u if abs(first) < 8.0 else x - u

    def straight(x: Tensor, u: Tensor) -> Tensor:
        return x + cast("Tensor", StraightThrough.apply(u))  # type: ignore[no-untyped-call]

    for step in (folded, straight):
        rollout = Rollout(step)
        for start in (0.0, 10.0):
            state, controls = torch.full((1, 4), start, dtype=torch.float64), torch.ones(1, 3, 1, dtype=torch.float64)
            assert torch.equal(rollout(state, controls), roll_out(step, state, controls))
        assert rollout.backend.startswith("PyTorch")


@pytest.mark.parametrize("width", [128, 256, 512])
def test_wide_networks_agree(width: int) -> None:
    for batch in (1, 64, 67):
        _compare(_Residual(width, 2, "tanh").double().requires_grad_(False), batch, horizon=4)


@pytest.mark.parametrize("batch", [1, 9])
def test_skip_connections_and_layer_norm_agree(batch: int) -> None:
    _compare(_Residual(24, 3, "tanh", normalised=True).double().requires_grad_(False), batch)


@pytest.mark.parametrize("batch", [1, 9])
def test_an_integrator_around_a_continuous_model_agrees(batch: int) -> None:
    network = _Residual(16, 2, "silu").double().requires_grad_(False)
    _compare(lambda x, u: rk4(network, x, u, 0.05), batch)


def test_a_sum_of_two_terms_goes_through_a_layer_once() -> None:
    network = nn.Sequential(nn.Linear(5, 40), nn.LeakyReLU(), nn.Linear(40, 40), nn.LeakyReLU(), nn.Linear(40, 4))
    network = network.double().requires_grad_(False)
    point = torch.ones(5, dtype=torch.float64)
    rollout = FusedRollout(lambda x, u: x + network(torch.cat([x, u], -1)), point[:4], point[4:])
    layers = [row for row in rollout.programme.table if row[codes.OPERATION] == codes.AFFINE]
    assert sum(row[codes.FIRST_SIZE] == row[codes.OUT_SIZE] == 40 for row in layers) == 1
    assert codes.DIAGONAL in rollout.programme.table[:, codes.OPERATION]


def test_sines_quotients_and_products_agree() -> None:
    _compare(CartPoleDynamics(), 5)


@pytest.mark.parametrize("batch", [1, 65, 140])
@pytest.mark.parametrize("horizon", [1, 2])
def test_short_rollouts_of_many_rows_agree(horizon: int, batch: int) -> None:
    _compare(_Residual(8, 1, "tanh").double().requires_grad_(False), batch, horizon=horizon)


@pytest.mark.parametrize(
    ("rows", "largest", "sizes"),
    [
        (1, 128 * 128, [1]),
        (64, 128 * 128, [32, 32]),
        (67, 128 * 128, [24, 24, 19]),
        (20, 256 * 256, [8, 8, 4]),
        (130, 512 * 512, [48, 48, 34]),
        (70, 0, [24, 24, 22]),
        (0, 16, []),
    ],
)
def test_every_row_is_in_one_block(rows: int, largest: int, sizes: list[int]) -> None:
    parts = list(blocks_of_rows(rows, largest))
    assert [part.stop - part.start for part in parts] == sizes
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))


def test_blocks_of_mkl_are_larger() -> None:
    assert [part.stop for part in blocks_of_rows(130, 128 * 128, by_mkl=True)] == [48, 96, 130]


@pytest.mark.parametrize(("width", "dtype"), [(512, torch.float64), (1024, torch.float32)])
@pytest.mark.parametrize("batch", [1, 9])
def test_layers_whose_rows_would_conflict_agree(width: int, dtype: torch.dtype, batch: int) -> None:
    network = _Residual(width, 2, "tanh").to(dtype).requires_grad_(False)
    _compare(network, batch, dtype, horizon=3)


def test_no_rows_are_no_states() -> None:
    rollout = Rollout(_learned())
    states = rollout(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, 3, 1, dtype=torch.float64))
    assert states.shape == (0, 4, 4)


def _learned() -> LearnedDynamics:
    data = sample_cartpole_transitions(500, np.random.default_rng(0))
    return LearnedDynamics(data.dataset, fit_normalizer(data), (32, 32), "tanh").double().requires_grad_(False)


@pytest.mark.parametrize("batch", [1, 6])
def test_learned_dynamics_agree(batch: int) -> None:
    rollout = _compare(_learned(), batch)
    # normaliser and units of the increment are folded into the layers
    assert "7 operations" in rollout.backend or "6 operations" in rollout.backend


def test_gradients_agree_with_finite_differences() -> None:
    step = _Residual(9, 2, "silu").double().requires_grad_(False)
    rollout = Rollout(step)
    start = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    controls = torch.zeros(2, 5, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rollout, (start, controls))


def _advance(rollout: Rollout) -> Tensor:
    return rollout(torch.ones(1, 4, dtype=torch.float64), torch.ones(1, 3, 1, dtype=torch.float64))


def test_weights_of_the_past_are_never_used() -> None:
    network = _Residual(8, 2, "tanh").double()
    first, last = (cast("nn.Linear", network.layers[i]) for i in (0, -1))
    rollout = Rollout(network)
    controls = torch.ones(1, 3, 1, dtype=torch.float64)

    def write() -> None:
        with torch.no_grad():
            first.weight.mul_(1.5)

    def replace() -> None:
        last.weight = nn.Parameter(2.0 * last.weight.detach())

    def load() -> None:
        network.load_state_dict({name: 0.5 * value for name, value in network.state_dict().items()})

    def swap() -> None:
        first.weight.data = first.weight.data + 0.1

    seen = [_advance(rollout)]
    for change in (write, replace, load, swap):
        change()
        seen.append(_advance(rollout))
        assert torch.allclose(seen[-1], roll_out(network, torch.ones(1, 4, dtype=torch.float64), controls))
        assert not torch.allclose(seen[-1], seen[-2])
        assert rollout.backend.startswith("compiled")


def test_weights_written_behind_autograd_are_used_after_a_new_check() -> None:
    network = _Residual(8, 2, "tanh").double()
    rollout = Rollout(network)
    before = _advance(rollout)
    cast("nn.Linear", network.layers[0]).weight.data.mul_(1.5)
    rollout.recheck()
    after, controls = _advance(rollout), torch.ones(1, 3, 1, dtype=torch.float64)
    assert not torch.allclose(before, after)
    assert torch.allclose(after, roll_out(network, torch.ones(1, 4, dtype=torch.float64), controls))


def test_two_rollouts_keep_their_records_apart() -> None:
    rollout = Rollout(_Residual(8, 2, "tanh").double())
    start = torch.zeros(1, 4, dtype=torch.float64)
    inputs = [torch.full((1, 6, 1), value, dtype=torch.float64, requires_grad=True) for value in (0.3, -0.9)]
    alone = [torch.autograd.grad(rollout(start, u).square().sum(), u)[0] for u in inputs]
    first, second = (rollout(start, u).square().sum() for u in inputs)
    (early,) = torch.autograd.grad(first, inputs[0], retain_graph=True)
    (late,) = torch.autograd.grad(second, inputs[1])
    (again,) = torch.autograd.grad(first, inputs[0])
    assert torch.equal(early, alone[0])
    assert torch.equal(again, alone[0])
    assert torch.equal(late, alone[1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("activation", list(_ACTIVATIONS))
def test_what_is_not_finite_stays_so(activation: str, bad: float) -> None:
    step = _Residual(20, 2, activation).double().requires_grad_(False)
    controls = torch.zeros(2, 6, 1, dtype=torch.float64)
    controls[0, 3] = bad
    rollout = Rollout(step)
    rollout(torch.ones(2, 4, dtype=torch.float64), torch.zeros(2, 6, 1, dtype=torch.float64))
    states = rollout(torch.ones(2, 4, dtype=torch.float64), controls)
    finite = torch.isfinite(states).all(-1)
    assert finite[0, :4].all()
    assert finite[1].all()
    if bad != bad:
        assert not finite[0, 4:].any()


def test_a_step_that_is_not_known_is_rolled_out_in_pytorch() -> None:
    def step(x: Tensor, u: Tensor) -> Tensor:
        return x + cast("Tensor", torch.special.bessel_j0(u))

    rollout = Rollout(step)
    start, controls = torch.ones(2, 4, dtype=torch.float64), torch.ones(2, 3, 1, dtype=torch.float64)
    assert torch.equal(rollout(start, controls), roll_out(step, start, controls))
    assert rollout.backend.startswith("PyTorch: ")
    assert "bessel" in rollout.backend


def test_a_step_that_mixes_rows_is_rolled_out_in_pytorch() -> None:
    rollout = Rollout(lambda x, u: x - x.mean(0) + u)
    rollout(torch.ones(2, 4, dtype=torch.float64), torch.ones(2, 3, 1, dtype=torch.float64))
    assert rollout.backend.startswith("PyTorch: ")


def test_solutions_say_how_they_were_rolled_out() -> None:
    problem = OptimalControlProblem(
        dynamics=_learned(),
        horizon=5,
        time_step=0.05,
        initial_state=np.zeros(4),
        control_bounds=(-1.0, 1.0),
        stage_costs=[lambda x, u: x.square().sum(-1) + u.square().sum(-1)],
    )
    solution = solve(problem, SingleShooting(), GradientDescent(iterations=3))
    assert solution.backends["rollout"].startswith("compiled")


def test_importing_the_library_imports_no_compiler() -> None:
    code = "import sys, trajopt_sgp.solvers, trajopt_sgp.mpc; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
