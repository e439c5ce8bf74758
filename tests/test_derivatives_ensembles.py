"""Ensembles have closed forms and compiled rollouts, along whichever dimension their members lie."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.closed_forms import Function, assert_closed_form
from tests.problems import cartpole_data
from trajopt_sgp.derivatives.rollout import Rollout, roll_out
from trajopt_sgp.derivatives.traced import TracedBlocks
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.models import Calibration, EnsembleDynamics, fit_normalizer
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import LBFGS, Ipopt, solve
from trajopt_sgp.uncertainty import DataDistance, EnsembleVariance

K, D, MEMBERS = 5, 5, 3


def ensemble(activation: str = "silu") -> EnsembleDynamics:
    data, generator = cartpole_data(), torch.Generator().manual_seed(1)
    model = EnsembleDynamics(data.dataset, fit_normalizer(data), MEMBERS, (24, 12), activation, generator)
    return model.double().requires_grad_(False)


def weights(*sizes: int) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(len(sizes)), dtype=torch.float64)


NETWORKS = [nn.Sequential(nn.Linear(D, 6), nn.Tanh(), nn.Linear(6, 4)).double().requires_grad_(False) for _ in range(3)]
STACKED = {name: torch.stack([n.state_dict()[name] for n in NETWORKS]) for name in NETWORKS[0].state_dict()}


def of_members(z: Tensor) -> Tensor:
    """The networks by one product a layer, their members in front."""
    hidden = torch.baddbmm(STACKED["0.bias"][:, None], z.expand(3, *z.shape), STACKED["0.weight"].mT).tanh()
    return torch.baddbmm(STACKED["2.bias"][:, None], hidden, STACKED["2.weight"].mT)


def gated(z: Tensor) -> Tensor:
    """Members times what all of them share, and what each has for itself."""
    hidden = of_members(z) * z[:, :4].sin() + weights(3, 1, 4)
    return torch.matmul(hidden * hidden.relu(), weights(3, 4, 2)).mean(0)


FUNCTIONS: dict[str, Function] = {
    "stacked in front": lambda z: torch.stack([network(z) for network in NETWORKS]).mean(0),
    "stacked behind": lambda z: torch.stack([network(z) for network in NETWORKS], -1).var(-1).sum(-1),
    "spread": lambda z: torch.stack([network(z) for network in NETWORKS]).std(0),
    "batched products": lambda z: of_members(z).mean(0),
    "variance of batched products": lambda z: of_members(z).var(0).sum(-1),
    "flattened": lambda z: of_members(z).transpose(0, 1).flatten(1).square(),
    "one member": lambda z: of_members(z)[1],
    "gated": gated,
    "einsum in front": lambda z: torch.einsum("bi,eij->ebj", z, weights(3, D, 30)).tanh().sum(0),
    "einsum behind": lambda z: torch.einsum("bi,eij->bej", z, weights(3, D, 30)).tanh().mean(1),
    "matrix from the left": lambda z: (weights(3, 4, D) @ z.T).sin().sum(0).T,
    "vmap": lambda z: torch.func.vmap(lambda w: (z @ w).tanh())(weights(3, D, 40)).mean(0),
    "rows of one instance": lambda z: ((z[:, :4].reshape(-1, 2, 2) @ weights(2, 3)).sin() @ weights(3, 2)).flatten(1),
    "a bias that depends on the instance": lambda z: torch.addmm(z[:, :3], z, weights(D, 3)).tanh(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_closed_forms(name: str, generator: torch.Generator) -> None:
    inside = torch.randn((K, D), generator=generator, dtype=torch.float64)
    assert_closed_form(FUNCTIONS[name], inside, torch.zeros_like(inside), 2.0 * inside)


@pytest.mark.parametrize("count", [1, 2, MEMBERS])
def test_as_many_instances_as_members_are_no_members(count: int, generator: torch.Generator) -> None:
    z = torch.randn((count, D), generator=generator, dtype=torch.float64)
    for name in ("stacked in front", "batched products", "gated"):
        assert_closed_form(FUNCTIONS[name], z, z + 0.1)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda z: z - z.mean(0), "mean"),
        (lambda z: z.flip(0), "flip|result"),
        (lambda z: z.flip(0) * z, "mul"),
        (lambda z: torch.cat([z[:1], z[:-1]]) + z, "add"),
        (lambda z: (z @ z.T) @ z, "mm"),
        (lambda z: z.reshape(D, K).T, "result"),
        (lambda z: z.roll(1, 0), "result"),
        (lambda z: z.roll(1), "result"),
        (lambda z: torch.baddbmm(weights(K, 1, 2), z[:, None], weights(K, D, 2))[:, 0] * z.sum(), "sum"),
    ],
)
def test_what_mixes_instances_is_refused_by_its_name(function: Function, name: str, generator: torch.Generator) -> None:
    with pytest.raises(UnsupportedError, match=f"({name}).*instances"):
        TracedBlocks(function, torch.randn((K, D), generator=generator, dtype=torch.float64), [])


@pytest.mark.parametrize("activation", ["silu", "softplus", "tanh"])
def test_ensembles_of_the_library(activation: str, generator: torch.Generator) -> None:
    model = ensemble(activation)
    variance = EnsembleVariance(model)
    z = torch.randn((K, D), generator=generator, dtype=torch.float64)
    assert_closed_form(lambda z: model(z[..., :4], z[..., 4:]), z, 0.0 * z)
    assert_closed_form(lambda z: variance.value(model.normalize(z[..., :4], z[..., 4:])), z, 0.0 * z)


@pytest.mark.parametrize("batch", [1, 9])
@pytest.mark.parametrize("name", ["mean", "stacked in front", "gated", "rows of one instance"])
def test_rollouts_are_compiled(name: str, batch: int, generator: torch.Generator) -> None:
    model = ensemble()
    steps: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": model}
    step = steps.get(name) or (lambda x, u: x + 0.1 * _of_four(FUNCTIONS[name](torch.cat([x, u], -1))))
    start = torch.randn((batch, 4), generator=generator, dtype=torch.float64).requires_grad_(True)
    controls = torch.randn((batch, 6, 1), generator=generator, dtype=torch.float64).requires_grad_(True)
    rollout = Rollout(step)
    results = [
        [states.detach(), *torch.autograd.grad(states.square().sum(), [start, controls])]
        for states in (rollout(start, controls), roll_out(step, start, controls))
    ]
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    assert rollout.backend.startswith("compiled"), rollout.backend


def _of_four(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows], -1)[..., :4]


def test_solutions_plan_ensembles_in_closed_form() -> None:
    model = ensemble()
    variance = EnsembleVariance(model)
    variance.calibration = Calibration((), (0.0,))
    problem = OptimalControlProblem(
        dynamics=model,
        horizon=6,
        time_step=0.05,
        initial_state=np.zeros(4),
        control_bounds=(-1.0, 1.0),
        stage_costs=[lambda x, u: u.square().sum(-1), DataDistance(variance, name="ensemble")],
        terminal_costs=[lambda x: (x - 0.5).square().sum(-1)],
    )
    transcribed = solve(problem, DirectTranscription(), Ipopt(max_iterations=3))
    assert all(text.startswith("closed form") for text in transcribed.backends.values()), transcribed.backends
    shot = solve(problem, SingleShooting(), LBFGS(max_iterations=2))
    assert shot.backends["rollout"].startswith("compiled")
