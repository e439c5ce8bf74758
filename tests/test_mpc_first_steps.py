"""Receding-horizon control before there is a plan, and parameters that move on with time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.test_mpc import DoubleIntegrator, quadratic_problem, riccati_gain
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.mpc import MPC, Fallback
from trajopt_sgp.problem import (
    ControlRateLimit,
    DiscreteDynamics,
    OptimalControlProblem,
    StageConstraint,
    StageCost,
    Status,
    TimeVarying,
)
from trajopt_sgp.solvers import CEM, DDP, LBFGS, SQP, GradientDescent, Ipopt
from trajopt_sgp.solvers.guess import rollout, unbounded_guesses

TIME_STEP = 0.1
SOLVERS: list[tuple[Any, Any]] = [
    (SingleShooting(), GradientDescent(iterations=10_000, starts=4)),
    (SingleShooting(), LBFGS()),
    (SingleShooting(), CEM()),
    (DirectTranscription(), Ipopt()),
    (DirectTranscription(), SQP()),
]


@pytest.mark.parametrize(("formulation", "solver"), SOLVERS, ids=lambda each: each.name)
def test_a_random_guess_is_never_applied(formulation: Any, solver: Any) -> None:
    """At the goal nothing is better than to do nothing, whatever has come of random guesses when time is over."""
    controller = MPC(
        problem=quadratic_problem().replaced(initial_state=[0.0, 0.0]),
        formulation=formulation,
        solver=solver,
        time_limit=1e-6,
    )
    for _ in range(3):
        assert controller.step([0.0, 0.0]) == 0.0
    assert not any(record.solved for record in controller.records)
    assert controller.records[-1].age == 3


def test_the_first_solver_tries_until_there_is_a_plan() -> None:
    controller = MPC(
        problem=quadratic_problem(),
        formulation=DirectTranscription(),
        first_solver=Ipopt(),
        solver=SQP(qp_solver="hpipm", stages=1, max_iterations=2),
        time_limit=1e-6,
    )
    assert controller.step([1.0, 0.0]) == 0.0
    controller.time_limit = None
    expected = MPC(quadratic_problem(), DirectTranscription(), Ipopt()).step([1.0, 0.0])
    np.testing.assert_allclose(controller.step([1.0, 0.0]), expected, atol=1e-6)
    assert controller.solutions[0].solver == "Ipopt"
    controller.step([1.0, 0.0])
    assert controller.solutions[0].solver == "SQP"
    assert [record.solved for record in controller.records] == [False, True, True]


@pytest.mark.parametrize("fallback", ["hold", lambda state: -0.3])
def test_fallbacks_of_a_first_step(fallback: Fallback) -> None:
    problem = quadratic_problem().replaced(control_bounds=(0.2, 5.0) if fallback == "hold" else (-5.0, 5.0))
    controller = MPC(problem, SingleShooting(), LBFGS(), time_limit=1e-6, fallback=fallback)
    # the control nearest to zero, or what the function says
    assert controller.step([1.0, 0.0]) == (0.2 if fallback == "hold" else -0.3)


def test_a_first_plan_that_time_has_cut_short_is_used_where_it_is_worth_something() -> None:
    controller = MPC(
        problem=quadratic_problem(),
        formulation=SingleShooting(),
        solver=GradientDescent(iterations=10**6),
        time_limit=2.0,
    )
    controller.step([1.0, 0.0])
    assert controller.solutions[0].status is Status.TIME_LIMIT and controller.records[0].solved
    assert controller.plan is not None and controller.plan.controls.any()


def test_a_fallback_keeps_the_limits_of_change() -> None:
    limited = quadratic_problem().replaced(constraints=[ControlRateLimit(2.0)])
    controller = MPC(limited, DirectTranscription(), Ipopt(), fallback=lambda state: 5.0)
    first = controller.step([1.0, 0.0])
    controller.time_limit = 1e-6
    np.testing.assert_allclose(controller.step([1.0, 0.0]), first + 2.0 * TIME_STEP)


UNBOUNDED = [
    (SingleShooting(), GradientDescent(iterations=100, starts=3)),
    (SingleShooting(), DDP(starts=2)),
    *SOLVERS[1:],
]


@pytest.mark.parametrize(("formulation", "solver"), UNBOUNDED, ids=lambda each: each.name)
@pytest.mark.parametrize("upper", [np.inf, 40.0])
def test_controls_need_no_bounds(formulation: Any, solver: Any, upper: float) -> None:
    """Neither for the first step nor for the starts that a later one adds to its plan."""
    problem = quadratic_problem(10).replaced(control_bounds=None if np.isinf(upper) else (None, upper))
    controller = MPC(problem, formulation, solver)
    states = [[1.0, 0.0], [0.9, -0.2]]
    tolerance = 0.3 if isinstance(solver, CEM | GradientDescent) else 1e-3
    for state in states:
        np.testing.assert_allclose(controller.step(state), -riccati_gain(10) @ state, atol=tolerance)
    assert [record.solved for record in controller.records] == [True, True]


def test_starts_without_bounds_are_added_to_proposals() -> None:
    controller = MPC(
        problem=quadratic_problem(10).replaced(control_bounds=None),
        formulation=SingleShooting(),
        solver=LBFGS(starts=3),
        proposals=lambda states: np.zeros((len(states), 2, 10, 1)),
    )
    np.testing.assert_allclose(controller.step([1.0, 0.0]), -riccati_gain(10) @ [1.0, 0.0], atol=1e-3)
    assert len(controller.solutions[0].starts) == 3


def test_guesses_without_bounds() -> None:
    states, generator = np.array([[1.0, 0.0], [0.0, 2.0]]), np.random.default_rng(0)
    problem = quadratic_problem(10).replaced(control_bounds=(1.0, None), control_scale=2.0)
    guesses = unbounded_guesses(problem, states, 3, generator)
    assert guesses.states.shape == (2, 3, 11, 2)
    assert (guesses.controls[:, 0] == 1.0).all() and (guesses.controls >= 1.0).all() and guesses.controls.max() <= 3.0
    np.testing.assert_array_equal(guesses.states, rollout(problem, guesses.controls, states[:, None]).states)
    held = unbounded_guesses(problem.replaced(final_state=[3.0, 0.0]), states, 3, generator)
    np.testing.assert_allclose(held.states[:, 2, 5], [[2.0, 0.0], [1.5, 1.0]])
    diverging = problem.replaced(dynamics=DiscreteDynamics(lambda x, u: 1e200 * x + u, 2, 1))
    straight = unbounded_guesses(diverging, states, 1, generator).states
    np.testing.assert_array_equal(straight, np.tile(states[:, None, None], (1, 1, 11, 1)))


def seeking(constraint: StageConstraint, **changes: Any) -> OptimalControlProblem:
    """Go to 9 from rest, under a constraint."""
    return quadratic_problem(10).replaced(
        initial_state=[0.0, 0.0],
        stage_costs=[StageCost(lambda x, u: (x[..., 0] - 9.0).square() + 0.01 * u.square().sum(-1))],
        terminal_costs=[],
        control_bounds=(-3.0, 3.0),
        constraints=[constraint],
        **changes,
    )


def test_a_constraint_of_controls_in_a_zone_holds_for_the_first_one() -> None:
    """Where the problem starts it is one of no control at all."""
    slow = StageConstraint(lambda x, u: torch.where(x[..., :1] > 5.0, u, 0.0 * u), upper=0.5)
    controller = MPC(problem=seeking(slow), formulation=DirectTranscription(), solver=Ipopt())
    np.testing.assert_allclose(controller.step([6.0, 0.0]), 0.5, atol=1e-6)


def test_a_constraint_of_controls_that_a_parameter_turns_on_holds_for_the_first_one() -> None:
    gated = StageConstraint(lambda x, u, gate: gate * u, upper=0.5, parameters=["gate"])
    problem = seeking(gated, parameters={"gate": [0.0]})
    controller = MPC(problem, DirectTranscription(), Ipopt())
    np.testing.assert_allclose(controller.step([0.0, 0.0], {"gate": [1.0]}), 0.5, atol=1e-6)


def following(target: Any) -> OptimalControlProblem:
    """Be where the target is one step ahead."""
    dynamics = DiscreteDynamics(lambda x, u: x + TIME_STEP * u, 1, 1)
    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=8,
        time_step=TIME_STEP,
        initial_state=[0.0],
        stage_costs=[StageCost(lambda x, u, t: (x - t).square().sum(-1), parameters=["target"])],
        control_bounds=(-50.0, 50.0),
        parameters={"target": target},
    )


def wave(times: FloatArray) -> FloatArray:
    return np.sin(3.0 * times)[:, None]


@pytest.mark.parametrize("latency", [0.0, TIME_STEP])
def test_signals_move_on_with_time(latency: float) -> None:
    controller = MPC(
        problem=following(TimeVarying(np.zeros((9, 1)))),
        formulation=DirectTranscription(),
        solver=Ipopt(),
        signals={"target": wave},
        latency=latency,
    )
    state, under_way, errors = np.zeros(1), [np.zeros(1)] * round(latency / TIME_STEP), []
    for k in range(20):
        under_way.append(controller.step(state))
        state = state + TIME_STEP * under_way.pop(0)
        errors.append(abs(state[0] - np.sin(3.0 * TIME_STEP * (k + 1))))
    assert max(errors[2:]) < 1e-6


def test_what_is_given_with_a_step_goes_before_the_signal() -> None:
    controller = MPC(
        problem=following(TimeVarying(np.zeros((9, 1)))),
        formulation=DirectTranscription(),
        solver=Ipopt(),
        signals={"target": wave},
    )
    control = controller.step([0.0], {"target": TimeVarying(np.full((9, 1), 0.7))})
    np.testing.assert_allclose(control, 7.0, atol=1e-6)


def test_signals_of_no_parameter_are_refused() -> None:
    signals: dict[str, Callable[[FloatArray], FloatArray]] = {"goal": wave}
    with pytest.raises(OptionError, match="signals: 'goal' is no parameter of the problem; it has: target"):
        MPC(problem=following([0.0]), formulation=DirectTranscription(), solver=Ipopt(), signals=signals)


def test_the_model_of_these_tests_is_that_of_the_plant() -> None:
    after = DoubleIntegrator()(torch.tensor([1.0, 0.5], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    np.testing.assert_allclose(after, [1.05, 0.5])
