"""What a problem may hold beyond costs and bounds, each against the same problem said in another way."""

from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import LQ_DYNAMICS, LQ_START, block_move, linear_quadratic, lq_cost, lq_terminal
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.problem import (
    BoundaryConstraint,
    ContinuousDynamics,
    ControlRateCost,
    ControlRateLimit,
    DiscreteDynamics,
    FreeTime,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    StageCost,
    TerminalConstraint,
    TerminalCost,
    TimeVarying,
)
from trajopt_sgp.solvers import GradientDescent, Ipopt, prepare, solve

HELD: list[Formulation] = [SingleShooting(), MultipleShooting(4), DirectTranscription()]
each_held = pytest.mark.parametrize("formulation", HELD, ids=lambda f: f.name)


def tracking(state: Tensor, control: Tensor, goal: Tensor) -> Tensor:
    return (state - goal).square().sum(-1) + 0.1 * control.square().sum(-1)


def final(state: Tensor, goal: Tensor) -> Tensor:
    return 5.0 * (state - goal).square().sum(-1)


def goal_problem(goal: Any, **changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "stage_costs": [StageCost(tracking, parameters=("goal",), name="tracking")],
        "terminal_costs": [TerminalCost(final, parameters=("goal",), name="final")],
        "parameters": {"goal": goal},
    }
    return linear_quadratic(**{**settings, **changes})


@each_held
def test_a_changed_parameter_gives_the_plan_of_a_problem_built_with_it(formulation: Formulation) -> None:
    prepared = prepare(goal_problem([0.0, 0.0, 0.0]), formulation, Ipopt())
    changed = prepared.solve(parameters={"goal": [0.3, -0.2, 0.1]})
    built = solve(goal_problem([0.3, -0.2, 0.1]), formulation, Ipopt())
    assert changed.cost == pytest.approx(built.cost, rel=1e-9)
    np.testing.assert_allclose(changed.trajectory.controls, built.trajectory.controls, atol=1e-7)
    assert changed.kkt_residual().holds()
    assert prepared.solve().cost == pytest.approx(solve(goal_problem(np.zeros(3)), formulation, Ipopt()).cost, rel=1e-9)


@each_held
def test_changed_weights_give_the_plan_of_a_problem_built_with_them(formulation: Formulation) -> None:
    def problem(running: float, last: float) -> OptimalControlProblem:
        return linear_quadratic(
            stage_costs=[StageCost(lq_cost, running, "running")],
            terminal_costs=[TerminalCost(lq_terminal, last, "last")],
        )

    prepared = prepare(problem(1.0, 1.0), formulation, Ipopt())
    changed = prepared.solve(parameters={"running.weight": 0.2, "last.weight": 3.0})
    built = solve(problem(0.2, 3.0), formulation, Ipopt())
    assert changed.cost_terms == pytest.approx(dict(built.cost_terms), rel=1e-7)


@each_held
def test_a_time_varying_reference_is_taken_at_each_knot(formulation: Formulation) -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(scale=0.3, size=(13, 3))
    solution = solve(goal_problem(TimeVarying(reference)), formulation, Ipopt())
    states, controls = solution.trajectory.states, solution.trajectory.controls
    expected = np.square(states[:-1] - reference[:-1]).sum() + 0.1 * np.square(controls).sum()
    assert solution.cost_terms["tracking"] == pytest.approx(expected, rel=1e-9)
    assert solution.cost_terms["final"] == pytest.approx(5.0 * np.square(states[-1] - reference[-1]).sum(), rel=1e-9)
    assert solution.kkt_residual().holds()


def test_dynamics_may_depend_on_a_time_varying_parameter() -> None:
    def pushed(state: Tensor, control: Tensor, push: Tensor) -> Tensor:
        return LQ_DYNAMICS(state, control) + push

    pushes = np.random.default_rng(1).normal(scale=0.1, size=(13, 3))
    problem = linear_quadratic(
        dynamics=DiscreteDynamics(pushed, 3, 2, parameters=("push",)), parameters={"push": TimeVarying(pushes)}
    )
    plans = [solve(problem, formulation, Ipopt()) for formulation in HELD]
    plan = plans[0].trajectory
    after = plan.states[:-1] @ LQ_DYNAMICS.A.T + plan.controls @ LQ_DYNAMICS.B.T + pushes[:-1]
    np.testing.assert_allclose(plan.states[1:], after, atol=1e-9)
    for other in plans[1:]:
        assert other.cost == pytest.approx(plans[0].cost, rel=1e-8)
    descent = solve(problem, SingleShooting(), GradientDescent(iterations=300, step_size=0.05))
    assert descent.cost == pytest.approx(plans[0].cost, rel=1e-3)


# --- torch and CasADi -------------------------------------------------------------------------------------------------


def casadi_parts() -> dict[str, Any]:
    x, u, goal = casadi.SX.sym("x", 3), casadi.SX.sym("u", 2), casadi.SX.sym("goal", 3)
    A, B = casadi.DM(LQ_DYNAMICS.A), casadi.DM(LQ_DYNAMICS.B)
    step = casadi.Function("step", [x, u], [A @ x + B @ u])
    running = casadi.Function("running", [x, u, goal], [casadi.sumsqr(x - goal) + 0.1 * casadi.sumsqr(u)])
    last = casadi.Function("last", [x, goal], [5.0 * casadi.sumsqr(x - goal)])
    return {
        "dynamics": DiscreteDynamics(step, 3, 2),
        "stage_costs": [StageCost(running, parameters=("goal",), name="tracking")],
        "terminal_costs": [TerminalCost(last, parameters=("goal",), name="final")],
    }


@pytest.mark.parametrize("parts", [("dynamics",), ("stage_costs",), ("dynamics", "stage_costs", "terminal_costs")])
@each_held
def test_casadi_functions_stand_wherever_torch_functions_do(formulation: Formulation, parts: tuple[str, ...]) -> None:
    goal = [0.2, 0.1, -0.1]
    mixed = goal_problem(goal, **{name: casadi_parts()[name] for name in parts})
    expected = solve(goal_problem(goal), formulation, Ipopt())
    solution = solve(mixed, formulation, Ipopt())
    assert solution.iterations == expected.iterations
    np.testing.assert_allclose(solution.trajectory.controls, expected.trajectory.controls, atol=1e-8)


def test_casadi_functions_serve_gradient_descent_too() -> None:
    goal = [0.2, 0.1, -0.1]
    settings = GradientDescent(iterations=60, step_size=0.05)
    plain = solve(goal_problem(goal), SingleShooting(), settings)
    mixed = solve(goal_problem(goal, **casadi_parts()), SingleShooting(), settings)
    np.testing.assert_allclose(mixed.trajectory.controls, plain.trajectory.controls, atol=1e-9)


# --- soft constraints, rates, ends ------------------------------------------------------------------------------------


def fast(state: Tensor, control: Tensor) -> Tensor:
    return state[..., 1:]


@each_held
def test_a_soft_constraint_is_hard_where_its_price_is_high_enough(formulation: Formulation) -> None:
    """The linear price is exact above the multiplier of the constraint."""
    hard = solve(block_move(constraints=_block(StageConstraint(fast, upper=1.2, name="slow"))), formulation, Ipopt())
    price = Penalty(linear=50.0)
    soft = solve(
        block_move(constraints=_block(StageConstraint(fast, upper=1.2, name="slow", soft=price))), formulation, Ipopt()
    )
    np.testing.assert_allclose(soft.trajectory.states, hard.trajectory.states, atol=1e-6)
    assert soft.cost_terms["slow.violation"] == pytest.approx(0.0, abs=1e-5)


@each_held
def test_a_soft_constraint_gives_way_where_it_must(formulation: Formulation) -> None:
    """Nothing can be slower than the mean speed that is needed; the price is paid for exactly what is violated."""
    price = Penalty(linear=3.0, quadratic=2.0)
    constraint = StageConstraint(fast, upper=0.5, lower=-0.1, name="slow", soft=price)
    solution = solve(block_move(constraints=_block(constraint)), formulation, Ipopt())
    excess = np.maximum(solution.trajectory.states[:-1, 1] - 0.5, 0.0)
    assert excess.max() > 0.1
    expected = 3.0 * excess.sum() + 1.0 * np.square(excess).sum()
    assert solution.cost_terms["slow.violation"] == pytest.approx(expected, rel=1e-5)
    assert solution.status.label == "solved"


def _block(constraint: StageConstraint) -> list[Any]:
    return [*block_move().constraint_terms, constraint]


@each_held
def test_limits_of_the_rate_of_change_hold_from_the_control_before(formulation: Formulation) -> None:
    problem = linear_quadratic(
        constraints=[ControlRateLimit([2.0, 1.0], lower=[-1.5, -1.0])], previous_control=[0.0, 0.4]
    )
    solution = solve(problem, formulation, Ipopt())
    controls = np.vstack([[0.0, 0.4], solution.trajectory.controls])
    rates = np.diff(controls, axis=0) / 0.1
    assert (rates <= np.array([2.0, 1.0]) + 1e-6).all()
    assert (rates >= np.array([-1.5, -1.0]) - 1e-6).all()
    assert np.isclose(np.abs(rates), [2.0, 1.0], atol=1e-5).any()
    other = prepare(problem, formulation, Ipopt()).solve(parameters={"previous_control": [0.5, -0.5]})
    first = (other.trajectory.controls[0] - [0.5, -0.5]) / 0.1
    assert (first <= np.array([2.0, 1.0]) + 1e-6).all()


def test_a_control_that_is_held_over_a_block_changes_within_one_interval() -> None:
    limit, blocks = ControlRateLimit(1.0), [4, 4, 4]
    problem = linear_quadratic(constraints=[limit], move_blocks=blocks, previous_control=[0.0, 0.0])
    solution = solve(problem, DirectTranscription(), Ipopt())
    rates = np.diff(np.vstack([[0.0, 0.0], solution.trajectory.controls]), axis=0) / 0.1
    assert np.abs(rates).max() == pytest.approx(1.0, abs=1e-5)


def test_limits_of_change_that_leave_out_zero_say_nothing_of_the_first_control_alone() -> None:
    """Without a control before it, which change it is is not known."""
    problem = linear_quadratic(constraints=[ControlRateLimit(5.0, lower=0.5)])
    solution = solve(problem, DirectTranscription(), Ipopt())
    assert solution.success
    rates = np.diff(solution.trajectory.controls, axis=0) / 0.1
    assert (rates >= 0.5 - 1e-5).all() and (rates <= 5.0 + 1e-5).all()


@each_held
def test_the_cost_of_changing_controls_is_what_it_says(formulation: Formulation) -> None:
    problem = linear_quadratic(
        stage_costs=[lq_cost, ControlRateCost(weight=2.0, scale=[0.5, 1.0])], previous_control=[0.1, 0.2]
    )
    solution = solve(problem, formulation, Ipopt())
    changes = np.diff(np.vstack([[0.1, 0.2], solution.trajectory.controls]), axis=0) / [0.5, 1.0]
    assert solution.cost_terms["control_rate_cost"] == pytest.approx(2.0 * np.square(changes).sum(), rel=1e-9)
    plain = solve(linear_quadratic(), formulation, Ipopt()).trajectory.controls
    assert np.square(changes).sum() < np.square(np.diff(np.vstack([[0.1, 0.2], plain]), axis=0) / [0.5, 1.0]).sum()


@each_held
def test_the_weight_of_changing_controls_may_change_between_solves(formulation: Formulation) -> None:
    def problem(weight: float) -> OptimalControlProblem:
        return linear_quadratic(
            stage_costs=[lq_cost, ControlRateCost(weight, name="rate")], previous_control=[0.1, 0.2]
        )

    assert problem(1.0).number_names == ("lq_cost.weight", "lq_terminal.weight", "rate.weight")
    with pytest.raises(OptionError, match="rate.weight = nan: it must be a finite number"):
        problem(1.0).values(changes={"rate.weight": float("nan")})
    prepared = prepare(problem(0.5), formulation, Ipopt())
    prepared.solve()
    changed, made = prepared.solve(parameters={"rate.weight": 3.0}), solve(problem(3.0), formulation, Ipopt())
    assert changed.cost_terms["rate"] == pytest.approx(made.cost_terms["rate"], rel=1e-5)
    np.testing.assert_allclose(changed.trajectory.controls, made.trajectory.controls, atol=1e-5)


def drive(state: Tensor, control: Tensor) -> Tensor:
    return torch.stack([state[..., 1], control[..., 0]], dim=-1)


COLLOCATION: list[Formulation] = [TrapezoidalCollocation(), HermiteSimpson(), OrthogonalCollocation(3)]


@pytest.mark.parametrize("formulation", [*HELD, *COLLOCATION], ids=lambda f: f.name)
def test_minimum_time_over_unit_distance_is_two_seconds(formulation: Formulation) -> None:
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(drive, 2, 1),
        horizon=20,
        duration=FreeTime(3.0, upper=10.0),
        initial_state=[0.0, 0.0],
        final_state=[1.0, 0.0],
        stage_costs=[StageCost(lambda x, u: torch.ones_like(u[..., 0]), integral=True, name="time")],
        control_bounds=(-1.0, 1.0),
    )
    solution = solve(problem, formulation, Ipopt())
    assert solution.status.label == "solved"
    assert solution.duration == pytest.approx(2.0, rel=5e-3)
    assert solution.cost == pytest.approx(solution.duration, rel=1e-9)
    assert solution.trajectory.times[-1] == pytest.approx(solution.duration)
    assert solution.kkt_residual().holds()


def test_a_periodic_motion_ends_where_it_began() -> None:
    """A driven oscillator: both ends are free, only tied to each other, and the mean position is asked for."""

    def oscillator(state: Tensor, control: Tensor) -> Tensor:
        return torch.stack([state[..., 1], control[..., 0] - state[..., 0]], dim=-1)

    def difference(first: Tensor, last: Tensor) -> Tensor:
        return last - first

    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(oscillator, 2, 1),
        horizon=12,
        duration=3.0,
        initial_state={"speed": 0.5},
        state_names=["position", "speed"],
        stage_costs=[StageCost(lambda x, u: u[..., 0] ** 2 + x[..., 0] ** 2, integral=True, name="effort")],
        constraints=[BoundaryConstraint(difference, lower=0.0, upper=0.0, name="period")],
        control_bounds=(-5.0, 5.0),
    )
    costs = []
    for formulation in (HermiteSimpson(), OrthogonalCollocation(3, "legendre"), MultipleShooting(3), SingleShooting()):
        solution = solve(problem, formulation, Ipopt())
        assert solution.status.label == "solved"
        np.testing.assert_allclose(solution.trajectory.states[0], solution.trajectory.states[-1], atol=1e-7)
        assert solution.trajectory.states[0, 1] == pytest.approx(0.5, abs=1e-7)
        costs.append(solution.cost)
    assert costs[0] == pytest.approx(costs[1], rel=1e-3)
    assert costs[2] == pytest.approx(costs[3], rel=1e-7)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knot", [0, 5, 11])
@pytest.mark.parametrize("kind", ["stage cost", "constraint", "dynamics"])
def test_what_is_not_finite_is_named_with_knot_and_variable(kind: str, knot: int) -> None:
    def planted(state: Tensor, control: Tensor) -> Tensor:
        values = state[..., :1] * 1.0
        if values.shape[-2] == 12:
            values[..., knot, :] = float("nan")
        return values

    changes: dict[str, Any] = {}
    if kind == "stage cost":
        changes["stage_costs"] = [StageCost(lambda x, u: planted(x, u)[..., 0], name="spoilt")]
    elif kind == "constraint":
        changes["constraints"] = [StageConstraint(planted, upper=9.0, name="spoilt")]
    else:
        changes["dynamics"] = DiscreteDynamics(lambda x, u: LQ_DYNAMICS(x, u) + 0.0 * planted(x, u), 3, 2)
    problem = linear_quadratic(**changes)
    name = "row defect" if kind == "dynamics" else "'spoilt'"
    with pytest.raises(NotFiniteError, match=rf"{kind}.*{name}.*knot {knot} .*x\[0\] ="):
        solve(problem, DirectTranscription(), Ipopt())


def test_contradictory_constraints_are_named() -> None:
    def last(state: Tensor) -> Tensor:
        return state[..., :1]

    problem = linear_quadratic(
        constraints=[
            TerminalConstraint(last, lower=1.0, upper=1.0, name="here"),
            TerminalConstraint(last, lower=2.0, upper=2.0, name="there"),
        ]
    )
    solution = solve(problem, DirectTranscription(), Ipopt())
    assert solution.status.label == "infeasible"
    worst = solution.violations(0.1)[0]
    assert worst.name in ("here[0]", "there[0]")
    assert worst.knot == 12


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"parameters": {"goal": [0.0, np.nan, 0.0]}}, NotFiniteError, "Parameter 'goal' must be finite"),
        ({"parameters": {"goal": "a"}}, OptionError, "Parameter 'goal' = 'a': it must be a number or a vector"),
        ({"parameters": {"goal": np.zeros((2, 3))}}, ShapeError, r"Parameter 'goal' has shape \(2, 3\)"),
        ({"parameters": {"goal": TimeVarying(np.zeros((4, 3)))}}, ShapeError, r"\(13, k\), one row for every knot"),
        ({"parameters": {}}, OptionError, "tracking asks for parameter 'goal', which the problem does not have"),
        (
            {"initial_state": {"y": 1.0}},
            OptionError,
            r"initial_state: there is no state 'y'; choose from x\[0\], x\[1\]",
        ),
        ({"final_state": [1.0]}, ShapeError, r"final_state has shape \(1,\); this problem needs \(3,\)"),
        ({"time_step": 0.1, "duration": 1.0}, OptionError, "Give time_step or duration, not both"),
        ({"time_step": None, "duration": -1.0}, OptionError, "duration = -1.0: it must be a positive number"),
        ({"time_step": None, "duration": FreeTime(1.0)}, OptionError, "FreeTime needs dx/dt"),
        ({"mesh": [0.0, 1.0]}, ShapeError, r"mesh has shape \(2,\); a horizon of 12 needs \(13,\)"),
        ({"mesh": np.zeros(13)}, OptionError, "knots must increase from 0 to 1"),
        ({"move_blocks": [5, 5]}, OptionError, "add up to the horizon 12; they add up to 10"),
        ({"previous_control": [1.0, 2.0, 3.0]}, ShapeError, r"previous_control has shape \(3,\)"),
        ({"dynamics": None}, OptionError, "Without dynamics, give state_names"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        goal_problem([0.0] * 3, **changes)


def test_unknown_changes_are_refused_with_the_valid_names() -> None:
    prepared = prepare(goal_problem([0.0, 0.0, 0.0]), DirectTranscription(), Ipopt())
    valid = "goal, tracking.weight, final.weight, previous_control"
    with pytest.raises(OptionError, match=f"Unknown parameter 'gaol'; choose from {valid}"):
        prepared.solve(parameters={"gaol": [0.0, 0.0, 0.0]})
    with pytest.raises(ShapeError, match="Parameter 'goal' has 2 components; declared were 3"):
        prepared.solve(parameters={"goal": [0.0, 0.0]})


def test_collocation_refuses_discrete_dynamics_and_blocks() -> None:
    with pytest.raises(IncompatibleError, match="HermiteSimpson needs the rate of the state"):
        solve(linear_quadratic(), HermiteSimpson(), Ipopt())
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(drive, 2, 1), horizon=4, initial_state=[0.0, 0.0], move_blocks=[2, 2]
    )
    with pytest.raises(IncompatibleError, match="move_blocks needs a formulation that holds controls"):
        TrapezoidalCollocation().transcribe(problem, needs_value=True)
    with pytest.raises(OptionError, match="steps_per_interval = 5 does not divide the horizon 12; choose from 1, 2, 3"):
        MultipleShooting(5).transcribe(linear_quadratic(), needs_value=True)
    with pytest.raises(OptionError, match="unknown integrator 'rk5'; choose from 'euler', 'midpoint', 'rk4'"):
        Stepper(problem, "rk5")
    np.testing.assert_array_equal(linear_quadratic().start, LQ_START)
