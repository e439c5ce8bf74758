"""Costs of the whole plan: the same optimum as the stage costs they equal, exact derivatives, refusal elsewhere."""

import re
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import LQ_HORIZON, LQ_START, linear_quadratic, lq_cost, lq_terminal, riccati
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    SingleShooting,
)
from trajopt_sgp.formulations.check import check_formulation
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import ContinuousDynamics, OptimalControlProblem, TimeVarying, TrajectoryCost
from trajopt_sgp.solvers import CEM, LBFGS, MPPI, SQP, GradientDescent, Ipopt, Scipy, solve, solve_batch
from trajopt_sgp.solvers.base import Solver


def total(states: Tensor, controls: Tensor) -> Tensor:
    return lq_cost(states[..., :-1, :], controls).sum(-1) + lq_terminal(states[..., -1, :])


def whole(**changes: Any) -> OptimalControlProblem:
    """`linear_quadratic` with its costs said as one cost of the plan."""
    settings: dict[str, Any] = {"stage_costs": [], "terminal_costs": [], "trajectory_costs": [total]}
    return linear_quadratic(**{**settings, **changes})


def spread(states: Tensor, controls: Tensor) -> Tensor:
    """Joins all knots, in products of states and controls."""
    work = (states[..., 1:, 0] * controls[..., 0]).sum(-1)
    return states[..., 2].var(dim=-1) + work.sin() + 0.1 * work * states[..., -1, 1]


@pytest.mark.parametrize("formulation", [SingleShooting(), MultipleShooting(2)], ids=str)
def test_derivatives_are_exact(formulation: Formulation) -> None:
    """The checker compares gradient and Hessian with finite differences, and batches with single programs."""
    check_formulation(formulation, linear_quadratic(horizon=4, trajectory_costs=[TrajectoryCost(spread, weight=1.7)]))


def test_derivatives_are_exact_where_controls_are_shared() -> None:
    problem = linear_quadratic(horizon=4, move_blocks=[1, 3], trajectory_costs=[spread])
    check_formulation(SingleShooting(), problem)


FIRST_ORDER: list[Solver] = [GradientDescent(iterations=300, tolerance=1e-7), LBFGS()]
SECOND_ORDER: list[Solver] = [Ipopt(), Ipopt(hessian="limited-memory"), SQP(), Scipy()]


@pytest.mark.parametrize("solver", [*FIRST_ORDER, *SECOND_ORDER], ids=lambda s: f"{s.name}")
@pytest.mark.parametrize("formulation", [SingleShooting(), MultipleShooting(4)], ids=lambda f: f.name)
def test_same_optimum_as_stage_costs(formulation: Formulation, solver: Solver) -> None:
    if isinstance(formulation, MultipleShooting) and solver in FIRST_ORDER:
        pytest.skip("defects make these solvers slow, not wrong")
    optimum, controls = riccati()
    solution = solve(whole(), formulation, solver)
    assert solution.cost == pytest.approx(optimum, rel=1e-5)
    np.testing.assert_allclose(solution.trajectory.controls, controls, atol=0.02)
    assert list(solution.cost_terms) == ["total"]


@pytest.mark.parametrize("solver", [CEM(iterations=10), MPPI(iterations=10)], ids=lambda s: s.name)
def test_sampling_takes_the_same_path_as_with_stage_costs(solver: Solver) -> None:
    one, other = (solve(problem, SingleShooting(), solver) for problem in (whole(), linear_quadratic()))
    np.testing.assert_allclose(one.trajectory.controls, other.trajectory.controls, atol=1e-9)


@pytest.mark.parametrize("formulation", [DirectTranscription(), HermiteSimpson()], ids=lambda f: f.name)
def test_other_formulations_refuse_it_and_say_what_works(formulation: Formulation) -> None:
    def rate(state: Tensor, control: Tensor) -> Tensor:
        return torch.cat([state[..., 1:], control], dim=-1)

    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(rate, 2, 1), horizon=4, initial_state=[0.0, 0.0], trajectory_costs=[spread_of_speed]
    )
    with pytest.raises(IncompatibleError, match=r"'spread_of_speed'.*use SingleShooting or MultipleShooting"):
        solve(problem, formulation, Ipopt())


def spread_of_speed(states: Tensor, controls: Tensor) -> Tensor:
    return states[..., 1].var(-1)


def test_each_plan_of_a_batch_has_its_own_cost() -> None:
    starts = np.random.default_rng(0).normal(size=(3, 3))
    for solver in (GradientDescent(iterations=300, tolerance=1e-7), Ipopt()):
        for solution, start in zip(solve_batch(whole(), starts, SingleShooting(), solver), starts, strict=True):
            assert solution.cost == pytest.approx(riccati(start)[0], rel=2e-3)


def test_many_starts_find_the_optimum() -> None:
    solution = solve(whole(), SingleShooting(), GradientDescent(iterations=300, tolerance=1e-7, starts=4))
    assert len(solution.starts) == 4
    assert solution.cost == pytest.approx(riccati()[0], rel=1e-4)


def test_control_by_repeated_planning_is_that_of_stage_costs() -> None:
    state, controls = LQ_START, []
    for problem in (whole(), linear_quadratic()):
        controller = MPC(problem, SingleShooting(), Ipopt())
        controls.append([controller.step(state * scale) for scale in (1.0, 0.9)])
    np.testing.assert_allclose(controls[0], controls[1], atol=1e-7)


def test_weight_and_parameters_may_change_between_solves() -> None:
    """A varying parameter comes with its values at all knots."""

    def tracking(states: Tensor, controls: Tensor, goal: Tensor) -> Tensor:
        return (states - goal).square().sum((-1, -2)) + 0.1 * controls.square().sum((-1, -2))

    goals = np.random.default_rng(0).normal(size=(LQ_HORIZON + 1, 3))
    cost = TrajectoryCost(tracking, parameters=("goal",), name="tracking")
    problem = whole(trajectory_costs=[cost], parameters={"goal": TimeVarying(goals)})
    assert problem.number_names == ("tracking.weight",)
    once, thrice = (solve(problem, SingleShooting(), Ipopt(), parameters={"tracking.weight": w}) for w in (1.0, 3.0))
    assert thrice.cost == pytest.approx(3.0 * once.cost, rel=1e-6)
    plan = once.trajectory
    by_hand = np.square(plan.states - goals).sum() + 0.1 * np.square(plan.controls).sum()
    assert once.cost == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (lambda states, controls: states[..., -1, :], ShapeError, "trajectory cost 'trajectory_cost' returned shape"),
        (TrajectoryCost(total, name="defect"), OptionError, "'defect' is a name the library uses"),
        (TrajectoryCost(total, parameters=("goal",)), OptionError, "asks for parameter 'goal'"),
    ],
    ids=["shape", "name", "parameter"],
)
def test_wrong_entries_are_refused_at_once(entry: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        whole(trajectory_costs=[entry])


def test_a_casadi_function_is_refused() -> None:
    x = casadi.MX.sym("x", 2)
    with pytest.raises(OptionError, match="must be a function of torch tensors"):
        TrajectoryCost(casadi.Function("f", [x], [x]))
