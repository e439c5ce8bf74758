"""Changes of functions that show neither at the first guess nor at the best plan of before: a solve notices them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trajopt_sgp.derivatives.probes import allowed, disagreement, probes
from trajopt_sgp.formulations import DirectTranscription, Formulation, MultipleShooting, SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, Status
from trajopt_sgp.solvers import LBFGS, SQP, Fatrop, GradientDescent, Ipopt, prepare, random_guesses, solve, solve_batch
from trajopt_sgp.solvers.base import Solver

STEP = 0.1


def problem(
    size: int,
    start: Sequence[float],
    cost: Callable[..., Tensor],
    *,
    horizon: int = 8,
    dynamics: Any = None,
    **more: Any,
) -> OptimalControlProblem:
    """Integrators of as many controls, unless other dynamics are given."""
    return OptimalControlProblem(
        dynamics=dynamics or DiscreteDynamics(lambda x, u: x + STEP * u, size, size),
        horizon=horizon,
        time_step=STEP,
        initial_state=start,
        control_bounds=(-5.0, 5.0),
        stage_costs=[cost],
        **more,
    )


@pytest.mark.parametrize(
    ("formulation", "solver"),
    [
        (DirectTranscription(), Ipopt()),
        (SingleShooting(), Ipopt()),
        (MultipleShooting(4), Ipopt()),
        (DirectTranscription(), Fatrop()),
    ],
)
def test_of_the_model_where_one_of_several_states_goes(formulation: Formulation, solver: Solver) -> None:
    drift = nn.Linear(1, 1).double()
    nn.init.zeros_(drift.weight)
    nn.init.zeros_(drift.bias)

    def step(x: Tensor, u: Tensor) -> Tensor:
        after: Tensor = x + STEP * u + torch.relu(x - 0.05) * drift(torch.ones_like(x))
        return after

    dynamics = DiscreteDynamics(step, 1, 1)
    task = problem(1, [-1.0], lambda x, u: x.square().sum(-1) + 0.1 * u.square().sum(-1), dynamics=dynamics)
    states = [[-1.0], [1.0]]
    prepared = prepare(task, formulation, solver)
    prepared.solve_batch(states)
    with torch.no_grad():
        drift.bias.fill_(0.2)
    for found, fresh in zip(prepared.solve_batch(states), solve_batch(task, states, formulation, solver), strict=True):
        assert found.status is fresh.status is Status.SOLVED
        assert found.cost == pytest.approx(fresh.cost, rel=1e-6)


def test_of_a_cost_that_has_no_value_at_the_plan_any_more() -> None:
    limit = [10.0]

    def cost(x: Tensor, u: Tensor) -> Tensor:
        distance: Tensor = (x - 1.0).square().sum(-1) + 0.05 * u.square().sum(-1)
        return distance + 0.0 * torch.sqrt(limit[0] - x[..., 0])

    prepared = prepare(problem(1, [-1.0], cost), DirectTranscription(), Ipopt())
    assert prepared.solve().status is Status.SOLVED
    limit[0] = 0.6
    assert prepared.solve().status is Status.NOT_FINITE


def test_of_what_one_of_several_starts_would_reach() -> None:
    reward = [0.0]

    def cost(x: Tensor, u: Tensor) -> Tensor:
        wells: Tensor = ((x.square() - 1.0).square() + 0.2 * x).sum(-1) + 0.01 * u.square().sum(-1)
        return wells - reward[0] * torch.relu(x - 0.3).sum(-1)

    task = problem(1, [0.0], cost)
    guesses = random_guesses(task, 8, np.random.default_rng(0))
    prepared = prepare(task, DirectTranscription(), Ipopt())
    prepared.solve(guesses)
    reward[0] = 3.0
    fresh = solve(task, DirectTranscription(), Ipopt(), guesses)
    assert prepared.solve(guesses).cost == pytest.approx(fresh.cost) == pytest.approx(-11.70023, rel=1e-5)


@pytest.mark.parametrize("solver", [GradientDescent(iterations=400, step_size=0.1), LBFGS(), Ipopt()])
def test_of_an_obstacle_that_has_gone(solver: Solver) -> None:
    """The plan of before touches it, where it costs nothing."""
    height = [0.0]

    def cost(x: Tensor, u: Tensor) -> Tensor:
        away = (x[..., 0].square() + (x[..., 1] - height[0]).square() + 1e-9).sqrt()
        return 0.02 * u.square().sum(-1) + 50.0 * torch.relu(0.5 - away)

    goal = torch.tensor([1.0, 0.0])
    end = [lambda x: 10.0 * (x - goal.to(x)).square().sum(-1)]
    task = problem(2, [-1.0, -0.05], cost, horizon=20, terminal_costs=end)
    prepared = prepare(task, SingleShooting(), solver)
    prepared.solve()
    height[0] = -5.0
    assert prepared.solve().cost == pytest.approx(0.396287, rel=1e-4)


def test_beside_an_entry_of_another_size() -> None:
    goal = [0.0]

    def cost(x: Tensor, u: Tensor) -> Tensor:
        return x[..., 0].square() + (x[..., 1] - goal[0]).square() + 1e-3 * u[..., 1].square()

    task = problem(2, [1e5, 0.0], cost, horizon=6, dynamics=DiscreteDynamics(lambda x, u: x + 1e5 * u, 2, 2))
    prepared = prepare(task, DirectTranscription(), Ipopt())
    prepared.solve()
    goal[0] = 3.0
    assert prepared.solve().trajectory.states[-2, 1] == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("solver", [SQP(), Fatrop()])
def test_of_an_entry_in_the_middle(solver: Solver) -> None:
    weight = [0.0]
    end = [lambda x: x.square().sum(-1) + weight[0] * x[..., 1]]
    task = problem(3, [0.0] * 3, lambda x, u: 0.1 * u.square().sum(-1), horizon=5, terminal_costs=end)
    prepared = prepare(task, DirectTranscription(), solver)
    prepared.solve()
    weight[0] = 1.0
    assert prepared.solve().cost == pytest.approx(-1.0 / 12.0)


def test_by_a_controller_of_several_states() -> None:
    pull = [0.0]

    def cost(x: Tensor, u: Tensor) -> Tensor:
        quadratic: Tensor = x.square().sum(-1) + 0.1 * u.square().sum(-1)
        return quadratic + pull[0] * torch.relu(x - 0.05).square().sum(-1)

    task, states = problem(1, [-1.0], cost), [[-1.0], [1.0]]
    controller = MPC(task, DirectTranscription(), Ipopt())
    controller.step(states)
    pull[0] = 3.0
    fresh = MPC(task, DirectTranscription(), Ipopt()).step(states)
    np.testing.assert_allclose(controller.step(states), fresh, atol=1e-5)


def test_a_scripted_layer_within_a_module_is_watched_as_any_other() -> None:
    class Model(nn.Module):
        state_size, control_size = 1, 1

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.jit.script(nn.Linear(2, 1).double())

        def forward(self, state: Tensor, control: Tensor) -> Tensor:
            after: Tensor = state + 0.1 * self.layer(torch.cat([state, control], -1))
            return after

    task = problem(1, [1.0], lambda x, u: x.square().sum(-1) + u.square().sum(-1), dynamics=Model())
    assert solve(task, DirectTranscription(), Ipopt()).status is Status.SOLVED


def test_probes_move_every_entry_and_disagreement_weighs_each_by_its_size() -> None:
    z = np.array([[1e5, 0.0, -2.0]])
    points = probes(z)
    assert np.array_equal(points[-1], z)
    assert (points[:-1] != z).all()
    values = np.array([[1e10, 3.0], [1e10, 4.0]])
    assert disagreement(values, values + np.array([0.0, 0.5])) == pytest.approx(0.5 / 5.5)
    assert disagreement(values, np.where(values < 4.0, np.nan, values)) == np.inf
    assert disagreement(values[:1], values) == np.inf
    assert allowed(1e-15, 1e-9) == 1e-9
    assert allowed(1e-8, 1e-9) == pytest.approx(1e-6)
