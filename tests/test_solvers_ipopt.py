"""Ipopt: optimality conditions recomputed, multiplier signs, limits, warm starts, failures and refused settings."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    around_a_pillar,
    block_move,
    cartpole_data,
    cartpole_swing_up,
    energy_network,
    linear_quadratic,
    lq_cost,
    lq_terminal,
)
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import NotFiniteError, OptionError
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.problem import (
    LeastSquaresCost,
    OptimalControlProblem,
    StageCost,
    Status,
    TerminalConstraint,
    Trajectory,
)
from trajopt_sgp.solvers import Ipopt, prepare, random_guesses, solve
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

FORMULATIONS: list[Formulation] = [SingleShooting(), DirectTranscription()]
each_formulation = pytest.mark.parametrize("formulation", FORMULATIONS, ids=lambda f: f.name)

PROBLEMS = {
    "bounded linear-quadratic": linear_quadratic(
        control_bounds=([-0.6, -0.3], [0.6, 0.3]), state_bounds=([-0.6, -2.0, -2.0], 2.0)
    ),
    "block": block_move(),
    "pillar": around_a_pillar(),
    "swing-up": cartpole_swing_up(horizon=15),
}


@each_formulation
@pytest.mark.parametrize("name", PROBLEMS)
def test_solution_satisfies_the_optimality_conditions(name: str, formulation: Formulation) -> None:
    """Stationarity, feasibility, signs and complementarity from the assembly and the multipliers alone."""
    prepared = prepare(PROBLEMS[name], formulation, Ipopt())
    solution = prepared.solve()
    assert solution.status is Status.SOLVED
    program, assembly = prepared.program, prepared.program.assembly
    w, parameters = program.pack(solution.trajectory), Parameters(torch.tensor(program.problem.start))
    row_multipliers, bound_multipliers = (solution.multipliers[kind] for kind in ("constraints", "bounds"))
    scale = max(1.0, np.abs(row_multipliers).max(initial=0.0), np.abs(bound_multipliers).max())
    rows, values = assembly.jacobian(w, parameters)
    residual = assembly.gradient(w, parameters)[1] + bound_multipliers
    np.add.at(residual, assembly.jacobian_pattern.columns, values * row_multipliers[assembly.jacobian_pattern.rows])
    assert np.abs(residual).max() <= 1e-6 * scale
    check_side(w, bound_multipliers, program.bounds(program.problem.start), scale)
    check_side(rows, row_multipliers, assembly.bounds(), scale)


def check_side(
    values: FloatArray, multipliers: FloatArray, bounds: tuple[FloatArray, FloatArray], scale: float
) -> None:
    """A multiplier is positive only at an upper, negative only at a lower bound."""
    lower, upper = bounds
    assert (values >= lower - 1e-7).all()
    assert (values <= upper + 1e-7).all()
    pushing_up, pushing_down = multipliers > 1e-6 * scale, multipliers < -1e-6 * scale
    assert (upper - values)[pushing_up].max(initial=0.0) <= 1e-3
    assert (values - lower)[pushing_down].max(initial=0.0) <= 1e-3


@each_formulation
def test_active_control_bounds_have_multipliers_of_the_right_sign(formulation: Formulation) -> None:
    """The block would push harder at first and brake harder at last than it may."""
    prepared = prepare(block_move(control_bounds=(-5.0, 5.0)), formulation, Ipopt())
    solution = prepared.solve()
    assert solution.success
    program = prepared.program
    places = np.searchsorted(program.decided, program.layout.first_controls[:, 0])
    multipliers = solution.multipliers["bounds"][places]
    force = solution.trajectory.controls[:, 0]
    at_upper, at_lower = force > 5.0 - 1e-3, force < -5.0 + 1e-3
    assert at_upper[0]
    assert at_lower[-1]
    assert (multipliers[at_upper] > 1e-3).all()
    assert (multipliers[at_lower] < -1e-3).all()
    assert np.abs(multipliers[~at_upper & ~at_lower]).max() < 1e-5
    assert force.max() <= 5.0
    assert force.min() >= -5.0


def slow_problem(seconds: float, calls: list[float]) -> OptimalControlProblem:
    def slow_cost(state: Tensor, control: Tensor) -> Tensor:
        calls.append(time.perf_counter())
        time.sleep(seconds)
        assert bool(torch.isfinite(state).all())  # what reads numbers is called every time, not traced
        return (control / 80.0).square().sum(-1)

    return cartpole_swing_up(stage_costs=[slow_cost])


def test_time_limit_is_honoured_to_within_one_iteration() -> None:
    calls: list[float] = []
    prepared = prepare(slow_problem(0.06, calls), DirectTranscription(), Ipopt())
    prepared.solve(time_limit=0.2)  # the first derivatives of a process load parts of PyTorch
    begin = time.perf_counter()
    solution = prepared.solve(time_limit=0.8)
    elapsed = time.perf_counter() - begin
    assert solution.status is Status.TIME_LIMIT
    assert 0 < solution.iterations < 24
    # one iteration calls the cost a handful of times
    assert sum(call > begin + 0.8 for call in calls) <= 10
    assert 0.0 < solution.seconds["overrun"] <= elapsed - 0.8
    assert np.isfinite(solution.trajectory.states).all()


def test_time_limit_does_not_outlive_its_solve() -> None:
    prepared = prepare(linear_quadratic(), DirectTranscription(), Ipopt())
    assert prepared.solve(time_limit=1e-9).status is Status.TIME_LIMIT
    assert prepared.solve().status is Status.SOLVED


@pytest.mark.parametrize("hessian", ["exact", "gauss-newton", "limited-memory"])
def test_every_hessian_reaches_the_same_optimum(hessian: Any) -> None:
    problem = around_a_pillar() if hessian != "gauss-newton" else linear_quadratic(control_bounds=(-0.5, 0.5))
    exact = solve(problem, DirectTranscription(), Ipopt())
    other = solve(problem, DirectTranscription(), Ipopt(hessian=hessian))
    assert other.status is Status.SOLVED
    assert other.kkt_residual().holds(1e-6)
    assert other.cost == pytest.approx(exact.cost, rel=1e-6)


def test_warm_start_from_a_perturbed_state_takes_half_the_iterations() -> None:
    bounded: dict[str, Any] = {"horizon": 40, "time_step": 0.05, "control_bounds": (-40.0, 40.0)}
    first = solve(cartpole_swing_up(**bounded), DirectTranscription(), Ipopt())
    moved = cartpole_swing_up(**bounded, initial_state=[0.005, -0.01, 0.01, 0.0])
    prepared = prepare(moved, DirectTranscription(), Ipopt())
    warm, cold = prepared.solve(first), prepared.solve()
    assert warm.status is Status.SOLVED
    assert warm.cost == pytest.approx(cold.cost, rel=1e-6)
    assert warm.iterations <= cold.iterations // 2


def test_warm_start_takes_fewer_iterations() -> None:
    prepared = prepare(cartpole_swing_up(), DirectTranscription(), Ipopt())
    first = prepared.solve()
    again = prepared.solve(first)
    assert again.success
    assert again.cost == pytest.approx(first.cost, rel=1e-7)
    assert again.iterations <= first.iterations // 2
    moved = prepare(cartpole_swing_up(initial_state=[0.05, 0.05, 0.0, 0.0]), DirectTranscription(), Ipopt())
    assert moved.solve(first).iterations < moved.solve().iterations


@each_formulation
def test_solution_of_another_formulation_serves_as_guess(formulation: Formulation) -> None:
    other = FORMULATIONS[1 - FORMULATIONS.index(formulation)]
    problem = linear_quadratic(state_bounds=(-5.0, 5.0))
    earlier = solve(problem, other, Ipopt())
    solution = solve(problem, formulation, Ipopt(), guess=earlier)
    assert solution.success
    assert solution.cost == pytest.approx(earlier.cost, rel=1e-8)


def test_multipliers_of_a_longer_problem_are_not_reused() -> None:
    """The controls fit, the rows do not."""
    plain, bounded = linear_quadratic(), linear_quadratic(state_bounds=(-5.0, 5.0))
    solution = solve(bounded, SingleShooting(), Ipopt(), guess=solve(plain, SingleShooting(), Ipopt()))
    assert solution.success


def test_prepared_solve_is_repeatable() -> None:
    prepared = prepare(cartpole_swing_up(), DirectTranscription(), Ipopt())
    first, second = prepared.solve(), prepared.solve()
    np.testing.assert_array_equal(first.trajectory.controls, second.trajectory.controls)
    assert [dict(entry) for entry in first.log] == [dict(entry) for entry in second.log]


def test_log_has_an_entry_for_every_iteration_and_stage() -> None:
    data = cartpole_data()
    term = DataDistance(energy_network(data), weight=0.1, schedule=GeometricSchedule(0.5, 0.1))
    problem = cartpole_swing_up(horizon=6, stage_costs=[term])
    solution = solve(problem, DirectTranscription(), Ipopt(stages=3))
    places = [entry["progress"] for entry in solution.log]
    assert sorted(set(places)) == [0.0, 0.5, 1.0]
    assert places == sorted(places)
    assert solution.iterations == len(solution.log)
    assert solution.log[-1]["violation"] <= 1e-8
    single = solve(problem, DirectTranscription(), Ipopt(stages=1))
    assert {entry["progress"] for entry in single.log} == {1.0}


def test_multi_start_returns_the_best_and_keeps_them_all() -> None:
    problem = cartpole_swing_up(horizon=12)
    guesses = random_guesses(problem, 3, np.random.default_rng(2))
    solution = solve(problem, DirectTranscription(), Ipopt(), guess=guesses)
    assert len(solution.starts) == 3
    assert solution.cost == min(start.cost for start in solution.starts if start.success)
    alone = solve(problem, DirectTranscription(), Ipopt(), guess=guesses.select(1))
    np.testing.assert_array_equal(alone.trajectory.controls, solution.starts[1].trajectory.controls)


def test_of_starts_that_all_fail_the_least_infeasible_is_returned() -> None:
    problem = cartpole_swing_up(horizon=12)
    guesses = random_guesses(problem, 3, np.random.default_rng(2))
    guesses = replace(guesses, states=np.zeros_like(guesses.states))
    solution = solve(problem, DirectTranscription(), Ipopt(max_iterations=3), guess=guesses)
    assert not any(start.success for start in solution.starts)
    violations = [start.max_violation for start in solution.starts]
    assert len(set(violations)) == 3
    assert solution.max_violation == min(violations)


# --- failures are statuses --------------------------------------------------------------------------------------------


def test_unreachable_target_is_infeasible() -> None:
    solution = solve(block_move(control_bounds=(-1.0, 1.0)), DirectTranscription(), Ipopt())
    assert not solution.success
    assert solution.status is Status.INFEASIBLE
    assert solution.violations(1e-3)
    assert np.isfinite(solution.trajectory.states).all()


def test_contradictory_terminal_constraints_are_infeasible_by_name() -> None:
    near, far = (
        TerminalConstraint(lambda state: state[..., :1], lower=[goal], upper=[goal], name=name)
        for goal, name in ((1.0, "near"), (2.0, "far"))
    )
    solution = solve(block_move(constraints=[near, far]), DirectTranscription(), Ipopt())
    assert solution.status is Status.INFEASIBLE
    assert {(row.name, row.knot) for row in solution.violations(1e-3)} <= {("near[0]", 20), ("far[0]", 20)}
    assert solution.max_violation >= 0.5 - 1e-3


def test_start_outside_of_the_state_bounds_is_infeasible_by_name() -> None:
    problem = block_move(state_bounds=([0.5, -9.0], [9.0, 9.0]))
    solution = solve(problem, DirectTranscription(), Ipopt())
    assert solution.status is Status.INFEASIBLE
    assert solution.rows[0].name in ("defect[position]", "state_bounds[position]")
    assert solution.rows[0].knot <= 1


def test_nan_on_the_way_names_term_and_knot() -> None:
    def cliff(state: Tensor, control: Tensor) -> Tensor:
        return -(0.3 - state[..., 0]).sqrt()

    guess = Trajectory(np.zeros((21, 2)), np.zeros((20, 1)), 0.05)
    solution = solve(block_move(stage_costs=[cliff]), DirectTranscription(), Ipopt(), guess)
    assert not solution.success
    assert "The stage cost 'cliff' is NaN or infinite at knot" in solution.log[-1]["not_finite"]


def test_nan_on_the_way_is_a_status(capfd: pytest.CaptureFixture[str]) -> None:
    def barrier(state: Tensor, control: Tensor) -> Tensor:
        return -(1e-3 - state[..., 0]).log()

    def pull(state: Tensor) -> Tensor:
        return -1e6 * state[..., 0]

    problem = block_move(stage_costs=[barrier], terminal_costs=[pull], constraints=[])
    guess = Trajectory(np.zeros((21, 2)), np.zeros((20, 1)), 0.05)
    solution = solve(problem, DirectTranscription(), Ipopt(max_iterations=50), guess)
    assert isinstance(solution.status, Status)
    assert np.isfinite(solution.trajectory.controls).all()
    assert "NaN detected" not in "".join(capfd.readouterr())

    def root(state: Tensor, control: Tensor) -> Tensor:
        """Finite, with a derivative that is not."""
        return state[..., 0].square().sum(-1, keepdim=False).sqrt() if state.ndim == 1 else state[..., 0].abs().sqrt()

    broken = solve(block_move(stage_costs=[root]), DirectTranscription(), Ipopt(), guess)
    assert broken.status is Status.NOT_FINITE
    assert "derivative of the costs by position at knot" in broken.log[-1]["not_finite"]
    assert not broken.success


def test_iteration_limit_is_a_status() -> None:
    solution = solve(cartpole_swing_up(), DirectTranscription(), Ipopt(max_iterations=3))
    assert solution.status is Status.ITERATION_LIMIT
    assert solution.iterations <= 4


def test_what_a_users_function_raises_reaches_the_user() -> None:
    calls = []

    def fragile(state: Tensor, control: Tensor) -> Tensor:
        calls.append(float(state.detach().sum()))  # what reads numbers is called every time, not traced
        if len(calls) > 8:
            raise ZeroDivisionError("the user's own mistake")
        return lq_cost(state, control)

    problem = linear_quadratic(stage_costs=[fragile])
    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        solve(problem, DirectTranscription(), Ipopt())


# --- refused ----------------------------------------------------------------------------------------------------------


def test_unknown_option_is_named() -> None:
    with pytest.raises(OptionError, match=r"Ipopt refused its options.*No such IPOPT option: mu_stratgy"):
        solve(linear_quadratic(), DirectTranscription(), Ipopt(options={"mu_stratgy": "adaptive"}))


def test_known_option_is_passed_on() -> None:
    solver = Ipopt(options={"max_iter": 2})
    assert solve(cartpole_swing_up(), DirectTranscription(), solver).status is Status.ITERATION_LIMIT


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": 0.0}, "Ipopt: tolerance = 0.0; it must be a positive number."),
        ({"stage_tolerance": float("nan")}, "Ipopt: stage_tolerance = nan"),
        ({"max_iterations": 0}, "Ipopt: max_iterations = 0; it must be a whole number, at least 1."),
        ({"stages": -1}, "Ipopt: stages = -1"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Ipopt(**settings)


def test_cost_that_is_nan_on_the_guess_is_named_with_its_knot() -> None:
    def log_cost(state: Tensor, control: Tensor) -> Tensor:
        return state[..., 0].log()

    states = np.ones((21, 2))
    states[7, 0] = -1.0
    problem = block_move(stage_costs=[log_cost], constraints=[])
    with pytest.raises(NotFiniteError, match=r"The stage cost 'log_cost' is NaN or infinite at knot 7 of the guess"):
        solve(problem, DirectTranscription(), Ipopt(), Trajectory(states, np.zeros((20, 1)), 0.05))


def test_terminal_cost_that_is_infinite_on_the_guess_is_named() -> None:
    def inverse(state: Tensor) -> Tensor:
        return 1.0 / state[..., 0]

    problem = block_move(terminal_costs=[inverse], constraints=[])
    with pytest.raises(NotFiniteError, match=r"The terminal cost 'inverse' is NaN or infinite at knot 20"):
        solve(problem, DirectTranscription(), Ipopt(), Trajectory(np.zeros((21, 2)), np.zeros((20, 1)), 0.05))


def test_constraint_that_is_nan_on_the_guess_is_named() -> None:
    def log_rows(state: Tensor) -> Tensor:
        return state.log()

    constraint = TerminalConstraint(log_rows, lower=0.0, name="log")
    problem = block_move(constraints=[constraint])
    with pytest.raises(
        NotFiniteError, match=r"The constraint 'log' in row log\[0\] is NaN or infinite at knot 20 of the guess"
    ):
        solve(problem, DirectTranscription(), Ipopt(), Trajectory(-np.ones((21, 2)), np.zeros((20, 1)), 0.05))


def test_gauss_newton_uses_residuals_and_reaches_the_optimum_of_exact_derivatives() -> None:
    """Its Hessian of the costs alone is positive semidefinite, and that of a squared residual is J'J."""

    def residual(state: Tensor, control: Tensor) -> Tensor:
        return torch.cat([0.3 * state.sin(), 0.05 * control], dim=-1)

    def built(form: Any) -> OptimalControlProblem:
        return linear_quadratic(stage_costs=[form], terminal_costs=[lq_terminal])

    squares = built(LeastSquaresCost(residual, weight=2.0, name="squares"))
    plain = built(StageCost(lambda x, u: residual(x, u).square().sum(-1), name="squares"))
    expected = solve(plain, DirectTranscription(), Ipopt())
    for formulation in (DirectTranscription(), SingleShooting()):
        solution = solve(squares, formulation, Ipopt(hessian="gauss-newton"))
        assert solution.status.label == "solved"
        assert solution.cost == pytest.approx(expected.cost, rel=1e-7)
    program = DirectTranscription().transcribe(squares, needs_value=True)
    point = np.random.default_rng(0).normal(size=program.size)
    values = program.assembly.hessian(point, 1.0, np.zeros(program.assembly.row_count), squares.values(), exact=False)
    matrix = np.zeros((program.size, program.size))
    pattern = program.assembly.hessian_pattern
    matrix[pattern.rows, pattern.columns] = matrix[pattern.columns, pattern.rows] = values
    assert np.linalg.eigvalsh(matrix).min() >= -1e-9
