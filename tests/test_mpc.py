"""Receding-horizon control on problems whose answer is known, and its behaviour when a solve fails."""

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.formulations import (
    DirectTranscription,
    HermiteSimpson,
    NonlinearProgram,
    OrthogonalCollocation,
    SingleShooting,
)
from trajopt_sgp.formulations.shifting import MultiplierShift
from trajopt_sgp.mpc import MPC, Fallback, usable
from trajopt_sgp.problem import (
    ContinuousDynamics,
    ControlRateCost,
    ControlRateLimit,
    DiscreteDynamics,
    FreeTime,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    StageCost,
    Status,
    TerminalCost,
    Trajectory,
)
from trajopt_sgp.solvers import SQP, Fatrop, GradientDescent, Ipopt, solve
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.interruption import Interruption
from trajopt_sgp.studies.mpc_episodes import ends_upright, random_hanging_states, run_episodes
from trajopt_sgp.studies.swing_up import swing_up_problem


class DoubleIntegrator:
    """x' = A x + B u with a time step of 0.1."""

    state_size, control_size = 2, 1
    transition = torch.tensor([[1.0, 0.1], [0.0, 1.0]], dtype=torch.float64)
    effect = torch.tensor([[0.005], [0.1]], dtype=torch.float64)

    def __call__(self, state: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        return state @ self.transition.T + control @ self.effect.T


def quadratic_problem(horizon: int = 30) -> OptimalControlProblem:
    def running(state: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        return state.square().sum(-1) + 0.1 * control.square().sum(-1)

    return OptimalControlProblem(
        dynamics=DoubleIntegrator(),
        horizon=horizon,
        initial_state=[1.0, 0.0],
        stage_costs=[StageCost(running)],
        terminal_costs=[TerminalCost(lambda state: 10.0 * state.square().sum(-1))],
        control_bounds=(-5.0, 5.0),
        time_step=0.1,
    )


def riccati_gain(horizon: int) -> FloatArray:
    a, b = DoubleIntegrator.transition.numpy(), DoubleIntegrator.effect.numpy()
    value, gain = 10.0 * np.eye(2), np.zeros((1, 2))
    for _ in range(horizon):
        gain = np.linalg.solve(0.1 * np.eye(1) + b.T @ value @ b, b.T @ value @ a)
        value = np.eye(2) + a.T @ value @ (a - b @ gain)
    return gain


def test_a_single_stagewise_iteration_of_each_step_solves_what_is_quadratic() -> None:
    """Starting from an earlier plan and its multipliers, also where the bounds of the control are active."""
    problem = quadratic_problem().replaced(control_bounds=(-0.5, 0.5))
    exact = MPC(problem, DirectTranscription(), Ipopt())
    quick = MPC(
        problem=problem, formulation=DirectTranscription(), solver=SQP(qp_solver="hpipm", stages=1, max_iterations=1)
    )
    state, controls = np.array([1.0, 0.4]), []
    for _ in range(40):
        controls.append(exact.step(state))
        np.testing.assert_allclose(quick.step(state), controls[-1], atol=1e-6)
        assert quick.solutions[0].iterations <= 2
        state = DoubleIntegrator()(torch.as_tensor(state), torch.as_tensor(controls[-1])).numpy()
    assert np.min(controls) == pytest.approx(-0.5, abs=1e-6)
    assert np.max(controls) > -0.1


@pytest.mark.parametrize("formulation", [DirectTranscription(), SingleShooting()])
def test_closed_loop_equals_the_riccati_feedback(formulation: DirectTranscription | SingleShooting) -> None:
    controller = MPC(quadratic_problem(), formulation, Ipopt())
    plant, gain, state = DoubleIntegrator(), riccati_gain(30), np.array([1.0, 0.0])
    for _ in range(5):
        control = controller.step(state)
        np.testing.assert_allclose(control, -gain @ state, atol=1e-6)
        state = plant(torch.as_tensor(state), torch.as_tensor(control)).numpy()


def test_a_batch_of_states_gets_the_controls_of_each_state() -> None:
    states = np.array([[1.0, 0.0], [-0.5, 0.3]])
    batch = MPC(quadratic_problem(), DirectTranscription(), Ipopt()).step(states)
    for state, control in zip(states, batch, strict=True):
        single = MPC(quadratic_problem(), DirectTranscription(), Ipopt())
        np.testing.assert_allclose(control, single.step(state), atol=1e-7)


def test_later_steps_start_from_the_shifted_plan() -> None:
    controller = MPC(quadratic_problem(), SingleShooting(), GradientDescent(iterations=1))
    controller.step(np.array([1.0, 0.0]))
    assert controller.plan is not None
    expected = controller.plan.shift().controls[0]
    controller.step(controller.plan.states[0, 1])
    np.testing.assert_allclose(controller.plan.controls[0], expected, atol=1e-12)


class FailsAfterFirst(Solver):
    """Solves once with Ipopt, then reports failure with a useless iterate."""

    needs_value, precision = True, torch.float64

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        inner, calls = Ipopt().prepare(program), [0]

        def minimise(start: Start) -> list[Outcome]:
            calls[0] += 1
            if calls[0] == 1:
                return inner(start)
            return [Outcome(np.zeros(program.size), Status.FAILED, 0, np.inf) for _ in start.variables]

        return minimise


def test_fallbacks() -> None:
    def controller(fallback: Fallback) -> MPC:
        return MPC(
            problem=quadratic_problem(),
            formulation=DirectTranscription(),
            solver=FailsAfterFirst(),
            fallback=fallback,
        )

    state = np.array([1.0, 0.0])
    shift, hold, custom = controller("shift"), controller("hold"), controller(lambda x: [x[0]])
    first = shift.step(state)
    assert shift.plan is not None
    planned = shift.plan.controls[0, 1]
    np.testing.assert_array_equal(shift.step(state), planned)
    assert [record.age for record in shift.records] == [0, 1]
    assert shift.statistics()["fallback_rate"] == 0.5
    hold.step(state)
    np.testing.assert_array_equal(hold.step(state), first)
    custom.step(state)
    np.testing.assert_array_equal(custom.step(np.array([0.25, 0.0])), [0.25])


def test_bad_input_is_named() -> None:
    problem = quadratic_problem()
    with pytest.raises(OptionError, match="'jump'.*shift.*hold"):
        MPC(problem, DirectTranscription(), Ipopt(), fallback="jump")
    with pytest.raises(OptionError, match=r"time_limit = 0\.0"):
        MPC(problem, DirectTranscription(), Ipopt(), time_limit=0.0)
    controller = MPC(problem, DirectTranscription(), Ipopt())
    with pytest.raises(ShapeError, match=r"\(1, 3\).*\(2,\)"):
        controller.step(np.zeros(3))
    with pytest.raises(NotFiniteError, match="nan"):
        controller.step(np.array([np.nan, 0.0]))


def test_the_analytic_model_swings_the_real_environment_up_and_holds_it() -> None:
    problem = swing_up_problem(CartPoleDynamics(), horizon=40, effort_weight=1e-3, tracking_weight=0.05)
    controller = MPC(
        problem=problem,
        formulation=DirectTranscription(),
        solver=Ipopt(tolerance=1e-4, options={"mu_init": 1e-3}),
        first_solver=Ipopt(tolerance=1e-4),
    )
    results = run_episodes(controller, random_hanging_states(1, seed=0), steps=80)
    assert results.success.all()
    assert results.step_milliseconds.shape == (79,)
    assert np.abs(results.controls).max() <= 80.0


def test_success_means_upright_either_way_round_for_the_whole_of_the_end() -> None:
    states = np.zeros((3, 101, 4))
    states[0, :, 1], states[1, :, 1], states[2, :, 1] = np.pi, -np.pi, np.pi
    states[2, 70, 0] = 1.5
    assert ends_upright(states, 0.05).tolist() == [True, True, False]


def test_a_cost_that_becomes_nan_leads_to_the_fallback_instead_of_an_exception() -> None:
    limit = torch.tensor(1.05, dtype=torch.float64)

    def barrier(state: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        return state.square().sum(-1) + 0.01 * control.square().sum(-1) - torch.log(limit - state[..., 0])

    problem = quadratic_problem().replaced(stage_costs=[StageCost(barrier)])
    for solver, formulation in (
        (Ipopt(max_iterations=50), DirectTranscription()),
        (GradientDescent(iterations=5, starts=1), SingleShooting()),
    ):
        controller = MPC(problem, formulation, solver)
        controller.step(np.array([0.5, 0.0]))
        control = controller.step(np.array([1.2, 0.0]))
        assert np.isfinite(control).all()
        assert not controller.records[-1].solved
        assert controller.records[-1].age == 1


def closed_loop(controller: MPC, steps: int, delay: int) -> FloatArray:
    """States of the double integrator `(steps+1, 2)` when every control takes effect `delay` steps late."""
    plant, state = DoubleIntegrator(), np.array([1.0, 0.0])
    under_way, states = [np.zeros(1)] * delay, [state]
    for _ in range(steps):
        under_way.append(controller.step(state))
        state = plant(torch.as_tensor(state), torch.as_tensor(under_way.pop(0))).numpy()
        states.append(state)
    return np.stack(states)


def test_a_controller_that_knows_its_latency_acts_as_if_there_were_none() -> None:
    """With an exact model the delayed loop is the undelayed one from the state two steps on."""

    def controller(latency: float) -> MPC:
        return MPC(quadratic_problem(), DirectTranscription(), Ipopt(), latency=latency)

    known = controller(0.15)
    assert known.delay_steps == 2
    compensated, ideal = closed_loop(known, 30, 2), closed_loop(controller(0.0), 30, 0)
    # nothing moves from rest while the first control is on its way
    np.testing.assert_allclose(compensated[2:], ideal[:-2], atol=1e-6)
    ignorant = closed_loop(controller(0.0), 30, 2)
    assert np.abs(ignorant[2:] - ideal[:-2]).max() > 0.05


def goal_problem() -> OptimalControlProblem:
    def running(state: torch.Tensor, control: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        return (state - goal).square().sum(-1) + 0.1 * control.square().sum(-1)

    return quadratic_problem().replaced(
        stage_costs=[StageCost(running, parameters=("goal",))], parameters={"goal": [0.0, 0.0]}
    )


def test_a_goal_may_change_between_steps() -> None:
    controller = MPC(goal_problem(), DirectTranscription(), Ipopt())
    at_goal = controller.step(np.array([0.5, 0.0]), parameters={"goal": [0.5, 0.0]})
    away = controller.step(np.array([0.5, 0.0]), parameters={"goal": [-0.5, 0.0]})
    assert away[0] < at_goal[0] - 0.1


@pytest.mark.parametrize("horizon", [20, 45])
def test_the_horizon_may_change_between_steps(horizon: int) -> None:
    controller = MPC(quadratic_problem(), DirectTranscription(), Ipopt())
    state = np.array([1.0, 0.0])
    controller.step(state)
    controller.change(horizon=horizon)
    control = controller.step(state)
    assert controller.plan is not None
    assert controller.plan.horizon == horizon
    np.testing.assert_allclose(control, -riccati_gain(horizon) @ state, atol=1e-6)


def test_blocks_of_moves_make_plans_with_fewer_controls() -> None:
    blocks = [1, 1, 1, 2, 5, 10, 10]
    problem = quadratic_problem().replaced(move_blocks=blocks)
    controller = MPC(problem, SingleShooting(), Ipopt())
    control = controller.step(np.array([1.0, 0.0]))
    assert controller.solutions[0].variables.shape == (len(blocks),)
    full = MPC(quadratic_problem(), SingleShooting(), Ipopt()).step(np.array([1.0, 0.0]))
    assert control[0] == pytest.approx(full[0], rel=0.1)
    controller.step(np.array([0.99, -0.05]))
    assert controller.records[-1].solved


def test_late_steps_are_counted() -> None:
    controller = MPC(quadratic_problem(), DirectTranscription(), Ipopt(), time_limit=1e-9)
    controller.step(np.array([1.0, 0.0]))
    assert controller.statistics()["miss_rate"] == 1.0
    assert controller.records[0].late


def test_limits_of_change_refer_to_the_control_applied_before() -> None:
    problem = quadratic_problem().replaced(constraints=[ControlRateLimit(3.0)], previous_control=[0.0])
    controller = MPC(problem, DirectTranscription(), Ipopt())
    plant, state, controls = DoubleIntegrator(), np.array([1.0, 0.0]), [np.zeros(1)]
    for _ in range(8):
        controls.append(controller.step(state))
        state = plant(torch.as_tensor(state), torch.as_tensor(controls[-1])).numpy()
    changes = np.abs(np.diff(np.array(controls)[:, 0]))
    assert changes.max() <= 0.3 + 1e-6
    assert changes[0] == pytest.approx(0.3, abs=1e-5)


def test_starts_from_the_cheapest_of_plan_and_proposals() -> None:
    """A solver that hardly moves keeps the best proposal, until the plan shifted on is better than any."""
    problem = quadratic_problem(10)
    best = MPC(problem, SingleShooting(), Ipopt())
    best.step([1.0, 0.0])
    assert best.plan is not None
    optimum = best.plan.controls[0]
    still = GradientDescent(iterations=1, step_size=1e-9)
    controller = MPC(
        problem=problem,
        formulation=SingleShooting(),
        solver=still,
        proposals=lambda states: np.stack([np.zeros((len(states), 10, 1)), np.tile(optimum, (len(states), 1, 1))], 1),
    )
    np.testing.assert_allclose(controller.step([[1.0, 0.0]]), optimum[None, 0], atol=1e-6)
    assert controller.plan is not None
    controller.proposals = lambda states: np.full((len(states), 1, 10, 1), 5.0)
    np.testing.assert_allclose(controller.step(controller.plan.states[:, 1]), optimum[None, 1], atol=1e-6)


def drifting_problem(horizon: int = 8) -> OptimalControlProblem:
    """x' = x + 0.1 u + drift, the drift a parameter."""
    return OptimalControlProblem(
        dynamics=DiscreteDynamics(lambda x, u, drift: x + 0.1 * u + drift, 1, 1, parameters=("drift",)),
        horizon=horizon,
        initial_state=[0.0],
        stage_costs=[StageCost(lambda x, u: (x - 1.0).square().sum(-1) + 1e-3 * u.square().sum(-1))],
        control_bounds=(-1.0, 1.0),
        time_step=0.1,
        parameters={"drift": [0.0]},
    )


def test_the_prediction_over_the_latency_has_the_parameters_of_the_step() -> None:
    controller = MPC(drifting_problem(), SingleShooting(), Ipopt(), latency=0.2)
    controller.step([0.0], parameters={"drift": [0.3]})
    # two idle steps under a drift of 0.3 each
    np.testing.assert_allclose(controller.solutions[0].trajectory.states[0], [0.6], atol=1e-12)


class ReturnsGuess(Solver):
    """Ends where it starts."""

    needs_value, precision = True, torch.float64

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        return lambda start: [Outcome(w, Status.ITERATION_LIMIT, 0, 0.0) for w in start.variables]


def test_proposals_are_rolled_out_under_the_parameters_of_the_step() -> None:
    controller = MPC(
        problem=drifting_problem(),
        formulation=DirectTranscription(),
        solver=ReturnsGuess(),
        proposals=lambda states: np.zeros((len(states), 1, 8, 1)),
    )
    controller.step([0.0], parameters={"drift": [0.5]})
    np.testing.assert_allclose(controller.solutions[0].trajectory.states[:, 0], 0.5 * np.arange(9), atol=1e-12)


def test_a_latency_beyond_the_horizon_is_refused() -> None:
    problem = drifting_problem(3)
    with pytest.raises(OptionError, match=r"latency = 0\.4: these 4 steps are more than the horizon of 3"):
        MPC(problem, SingleShooting(), Ipopt(), latency=0.4)
    controller = MPC(problem, SingleShooting(), Ipopt(), latency=0.3)
    with pytest.raises(OptionError, match="latency"):
        controller.change(horizon=2)
    controller.step([0.0])


def test_rates_of_change_in_a_batch_are_refused() -> None:
    """The limits of all episodes would refer to one control."""
    limited = quadratic_problem().replaced(constraints=[ControlRateLimit(3.0)])
    priced = quadratic_problem().replaced(stage_costs=[ControlRateCost(1.0)])
    for problem, name in ((limited, "control_rate_limit"), (priced, "control_rate_cost")):
        controller = MPC(problem, DirectTranscription(), Ipopt())
        with pytest.raises(IncompatibleError, match=f"'{name}'.*2 states.*a controller for each"):
            controller.step(np.zeros((2, 2)))
        assert controller.step(np.zeros((1, 2))).shape == (1, 1)


def test_a_mesh_of_unequal_intervals_is_refused() -> None:
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: u, 1, 1),
        horizon=3,
        initial_state=[0.0],
        stage_costs=[StageCost(lambda x, u: (x - 1.0).square().sum(-1) + u.square().sum(-1))],
        control_bounds=(-1.0, 1.0),
        duration=0.8,
        mesh=[0.0, 0.1, 0.3, 1.0],
    )
    with pytest.raises(IncompatibleError, match="equal intervals.*move_blocks"):
        MPC(problem, DirectTranscription(), Ipopt())
    even = problem.replaced(mesh=np.linspace(0.0, 1.0, 4))
    assert MPC(even, DirectTranscription(), Ipopt()).step([0.0]).shape == (1,)


def test_a_caller_may_write_into_the_control_it_was_given() -> None:
    controllers = [
        MPC(
            problem=quadratic_problem(),
            formulation=DirectTranscription(),
            solver=FailsAfterFirst(),
            fallback="hold",
            latency=0.1,
        )
        for _ in range(2)
    ]
    first, untouched = (controller.step([1.0, 0.0]) for controller in controllers)
    first *= 0.0
    for controller in controllers:
        np.testing.assert_array_equal(controller.step([1.0, 0.0]), untouched)
    # under the control that is on its way
    states = [controller.solutions[0].trajectory.states[0] for controller in controllers]
    np.testing.assert_array_equal(*states)


def test_a_change_that_is_refused_leaves_the_controller_as_it_was() -> None:
    controller = MPC(
        problem=quadratic_problem(8), formulation=DirectTranscription(), solver=Ipopt(), first_solver=Fatrop()
    )
    state = np.array([1.0, 0.0])
    controller.step(state)
    soft = StageConstraint(lambda x, u: u, upper=0.5, soft=Penalty())
    with pytest.raises(IncompatibleError, match="Fatrop"):
        controller.change(horizon=5, constraints=[soft])
    np.testing.assert_allclose(controller.step(state), -riccati_gain(8) @ state, atol=1e-6)


def test_a_longer_time_step_leaves_fewer_controls_under_way() -> None:
    controller = MPC(quadratic_problem(), DirectTranscription(), Ipopt(), latency=0.2)
    state = np.array([1.0, 0.0])
    last = [controller.step(state) for _ in range(3)][-1]
    controller.change(time_step=0.2)
    assert controller.delay_steps == 1
    controller.step(state)
    expected = DoubleIntegrator()(torch.as_tensor(state), torch.as_tensor(last)).numpy()
    np.testing.assert_allclose(controller.solutions[0].trajectory.states[0], expected, atol=1e-12)


class PressesCtrlC(Solver):
    """Ipopt, during whose second solve Ctrl-C is pressed; answered as solvers do."""

    needs_value, precision = True, torch.float64

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        inner, calls = Ipopt().prepare(program), [0]

        def minimise(start: Start) -> list[Outcome]:
            calls[0] += 1
            outcomes = inner(start)
            if calls[0] != 2:
                return outcomes
            with Interruption() as interruption:
                os.kill(os.getpid(), signal.SIGINT)
                assert interruption.requested
            return [Outcome(outcome.variables, Status.INTERRUPTED, 0, outcome.merit) for outcome in outcomes]

        return minimise


def test_ctrl_c_ends_the_loop_and_the_controller_may_go_on() -> None:
    controller = MPC(quadratic_problem(), DirectTranscription(), PressesCtrlC())
    state = np.array([1.0, 0.0])
    controller.step(state)
    with pytest.raises(KeyboardInterrupt):
        controller.step(state)
    assert [record.status for record in controller.records] == ["solved", "interrupted"]
    np.testing.assert_allclose(controller.step(state), -riccati_gain(30) @ state, atol=1e-6)
    assert controller.records[-1].age == 0


@pytest.mark.parametrize(
    "formulation", [OrthogonalCollocation(4, "legendre"), OrthogonalCollocation(3), HermiteSimpson()], ids=repr
)
def test_multipliers_between_the_knots_move_on_too(formulation: OrthogonalCollocation | HermiteSimpson) -> None:
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: u, 1, 1),
        horizon=12,
        initial_state=[0.0],
        terminal_costs=[TerminalCost(lambda x: (x - 1.0).square().sum(-1))],
        control_bounds=(-1.0, 1.0),
    )
    program = formulation.transcribe(problem, needs_value=True)
    places = [program.variable_place(k) for k in range(program.size)]
    moved = MultiplierShift(program)({"bounds": np.array([knot for _, knot in places])})["bounds"]
    for (_, knot), after in zip(places, moved, strict=True):
        assert after == pytest.approx(knot + 1.0 if knot + 1.0 <= places[-1][1] + 1e-9 else knot, abs=1e-9)


@pytest.mark.parametrize("initial", [None, {"x[1]": 0.0}])
@pytest.mark.parametrize("formulation", [DirectTranscription(), SingleShooting()])
def test_plans_begin_at_the_measured_state_whatever_the_problem_leaves_free(formulation: Any, initial: Any) -> None:
    given = MPC(quadratic_problem(), formulation, Ipopt())
    free = quadratic_problem().replaced(initial_state=initial)
    controller = MPC(free, formulation, Ipopt())
    state = np.array([2.0, -0.5])
    np.testing.assert_allclose(controller.step(state), given.step(state), atol=1e-9)


def test_a_number_is_the_state_of_a_model_with_one() -> None:
    problem = OptimalControlProblem(
        dynamics=DiscreteDynamics(lambda x, u: x + u, 1, 1),
        horizon=3,
        initial_state=np.zeros(1),
        terminal_costs=[lambda x: x.square().sum(-1)],
        control_bounds=(-1.0, 1.0),
    )
    controls = [MPC(problem, SingleShooting(), Ipopt()).step(x) for x in (np.array(0.5), [0.5])]
    assert controls[0].shape == (1,)
    np.testing.assert_array_equal(controls[0], controls[1])


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e-3])
def test_an_unfinished_plan_is_judged_in_units_of_order_one(unit: float) -> None:
    """Metres, millimetres or kilometres: the same plans are usable, and rows tell violations in the user's units."""

    def step(state: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        position, velocity = (state / unit).unbind(-1)
        after = velocity + 0.1 * (control[..., 0] / unit - 3.0 * position.sin())
        return unit * torch.stack([position + 0.1 * after, after], dim=-1)

    problem = OptimalControlProblem(
        dynamics=DiscreteDynamics(step, 2, 1),
        horizon=10,
        initial_state=[unit, 0.0],
        stage_costs=[lambda x, u: (x / unit).square().sum(-1) + (u / unit).square().sum(-1)],
        control_bounds=(-4.0 * unit, 4.0 * unit),
        state_scale=unit,
        control_scale=unit,
    )
    guess = Trajectory(np.full((11, 2), 0.5 * unit), np.zeros((10, 1)), 1.0)
    plans = [solve(problem, DirectTranscription(), Ipopt(max_iterations=k), guess=guess) for k in (1, 2)]
    assert [usable(plan) for plan in plans] == [False, True]
    assert all(plan.max_violation == pytest.approx(unit * plan.scaled_violation) for plan in plans)


class LeavesItsRange:
    """x' = x + u, which is no number from 1.5 on."""

    state_size, control_size = 1, 1

    def __call__(self, state: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        return torch.where(state.abs() < 1.5, state + 0.1 * control, torch.nan)


def narrow_problem(**changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "dynamics": LeavesItsRange(),
        "horizon": 5,
        "initial_state": [0.0],
        "stage_costs": [StageCost(lambda x, u: x.square().sum(-1) + u.square().sum(-1))],
        "control_bounds": (-1.0, 1.0),
        "time_step": 0.1,
    }
    return OptimalControlProblem(**{**settings, **changes})


@pytest.mark.parametrize("latency", [0.0, 0.1])
def test_a_prediction_that_is_no_number_leads_to_the_fallback(latency: float) -> None:
    controller = MPC(
        problem=narrow_problem(), formulation=SingleShooting(), solver=Ipopt(), latency=latency, fallback="hold"
    )
    first = controller.step([0.4])
    np.testing.assert_array_equal(controller.step([2.0]), first)
    assert not controller.records[-1].solved and "not_finite" in controller.records[-1].status
    controller.step([0.4])
    assert controller.records[-1].solved


def test_the_prediction_over_the_latency_is_integrated_as_the_plan_is() -> None:
    stiff = narrow_problem(dynamics=ContinuousDynamics(lambda x, u: -60.0 * (x - u), 1, 1))
    for formulation, tolerance in ((SingleShooting(substeps=20), 1e-3), (OrthogonalCollocation(3), 0.2)):
        controller = MPC(stiff, formulation, Ipopt(), latency=0.1)
        controller.step([1.0])
        np.testing.assert_allclose(controller.solutions[0].trajectory.states[0], np.exp(-6.0), atol=tolerance)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        ([np.nan], NotFiniteError, "what the fallback returned must be finite"),
        ([0.0, 1.0], ShapeError, r"what the fallback returned has shape \(2,\); give a number or \(1,\)"),
    ],
)
def test_what_a_fallback_returns_is_checked(returned: Any, error: type[Exception], message: str) -> None:
    controller = MPC(
        problem=narrow_problem(), formulation=SingleShooting(), solver=Ipopt(), fallback=lambda state: returned
    )
    controller.step([0.4])
    with pytest.raises(error, match=message):
        controller.step([2.0])


def test_a_free_duration_is_refused() -> None:
    free = narrow_problem(
        dynamics=ContinuousDynamics(lambda x, u: u, 1, 1), time_step=None, duration=FreeTime(1.0, 0.1, 5.0)
    )
    with pytest.raises(IncompatibleError, match="a free duration lets the solver choose"):
        MPC(free, DirectTranscription(), Ipopt())


@pytest.mark.parametrize("formulation", [DirectTranscription(), HermiteSimpson()])
def test_a_measured_state_outside_a_constraint_is_led_back(formulation: DirectTranscription | HermiteSimpson) -> None:
    """No plan can change it; a constraint of the controls holds from the first one on."""
    problem = narrow_problem(
        dynamics=ContinuousDynamics(lambda x, u: u, 1, 1),
        constraints=[
            StageConstraint(lambda x, u: x, lower=0.3, name="wall"),
            StageConstraint(lambda x, u: u, upper=0.8, name="effort"),
        ],
    )
    assert solve(problem.replaced(initial_state=[0.27]), formulation, Ipopt()).status is Status.INFEASIBLE
    controller = MPC(problem, formulation, Ipopt())
    control = controller.step([0.27])
    assert controller.records[-1].solved
    states = controller.solutions[0].trajectory.states
    assert states[0, 0] == 0.27 and (states[1:, 0] >= 0.3 - 1e-6).all()
    assert 0.3 - 1e-6 <= control[0] <= 0.8 + 1e-6
