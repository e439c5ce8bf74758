"""Gradient descent: optimum, exact bounds, best iterate, repeatability, batches, annealing, limits, refusals."""

import re
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    block_move,
    block_move_optimum,
    cartpole_data,
    cartpole_swing_up,
    linear_quadratic,
    lq_cost,
    riccati,
    score_network,
)
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError, OptionError, TrajoptError
from trajopt_sgp.formulations import DirectTranscription, Formulation, MultipleShooting, SingleShooting
from trajopt_sgp.formulations.scaling import is_far
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, StageConstraint, Status, Trajectory
from trajopt_sgp.solvers import CEM, DDP, LBFGS, GradientDescent, prepare, random_guesses, solve, solve_batch
from trajopt_sgp.solvers.annealing import AdaptiveAnnealing
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.check import check_solver
from trajopt_sgp.solvers.guess import line_guess
from trajopt_sgp.solvers.halving import better_half
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

SHOOTING = SingleShooting()


def test_reaches_the_linear_quadratic_optimum() -> None:
    optimum, controls = riccati()
    problem = linear_quadratic(control_bounds=(-3.0, 3.0))
    solution = solve(problem, SHOOTING, GradientDescent(iterations=300, tolerance=1e-7))
    assert optimum * (1.0 - 1e-9) <= solution.cost <= 1.02 * optimum
    np.testing.assert_allclose(solution.trajectory.controls, controls, atol=0.05)
    assert solution.surrogates == frozenset()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_control_bounds_are_never_violated(dtype: torch.dtype) -> None:
    """Exactly, also where the bounds are no single-precision numbers and every control wants beyond them."""
    lower, upper = np.array([-0.1]), np.array([0.3])

    def greedy(state: Tensor, control: Tensor) -> Tensor:
        return -control[..., 0] * torch.where(state[..., 0] < 0.01, 1.0, -1.0)

    data = cartpole_data()
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (4,), generator=torch.Generator().manual_seed(0))
    problem = cartpole_swing_up(
        dynamics=model.to(dtype), time_step=0.05, horizon=8, stage_costs=[greedy], control_bounds=(lower, upper)
    )
    solution = solve(problem, SHOOTING, GradientDescent(iterations=40, starts=4))
    for start in solution.starts:
        assert (start.trajectory.controls >= lower).all()
        assert (start.trajectory.controls <= upper).all()
        assert start.rows == ()
    assert (solution.trajectory.controls == upper).any()


def test_best_iterate_is_returned_and_never_gets_worse() -> None:
    """Steps far too long make the last iterate worse than the best."""
    problem = cartpole_swing_up(horizon=10)
    solver = GradientDescent(iterations=60, step_size=1.5, final_step=1.0)
    solution = solve(problem, SHOOTING, solver)
    merits = [entry["merit"] for entry in solution.log]
    best = [entry["best"] for entry in solution.log]
    assert best == [min(merits[: i + 1]) for i in range(len(merits))]
    assert merits[-1] > best[-1]
    assert solution.cost == pytest.approx(best[-1], rel=1e-12)
    assert solution.iterations == len(solution.log) == 60


def test_last_iterate_is_returned_on_request() -> None:
    """Steps far too long end where they happen to be: the next plan after the one that was logged last."""
    problem = cartpole_swing_up(horizon=10)
    settings: dict[str, Any] = {"step_size": 1.5, "final_step": 1.0}
    last = solve(problem, SHOOTING, GradientDescent(iterations=60, keep="last", **settings))
    longer = solve(problem, SHOOTING, GradientDescent(iterations=61, **settings))
    assert last.cost > min(entry["merit"] for entry in last.log)
    assert last.cost == pytest.approx(longer.log[60]["merit"], rel=1e-9)


def test_same_seed_gives_the_same_bytes() -> None:
    problem = cartpole_swing_up(horizon=10)
    solver = GradientDescent(iterations=20, starts=3)
    plans = [
        solve(problem, SHOOTING, solver, generator=np.random.default_rng(seed)).trajectory.controls
        for seed in (7, 7, 8)
    ]
    assert plans[0].tobytes() == plans[1].tobytes()
    assert plans[0].tobytes() != plans[2].tobytes()


@pytest.mark.parametrize("count", [3, 14])
def test_batch_of_initial_states_equals_single_solves(count: int) -> None:
    """Also where some converge long before others, and for small and large batches."""
    problem = linear_quadratic(control_bounds=(-1.0, 1.0))
    states = np.random.default_rng(0).normal(size=(count, 3)) * np.geomspace(0.01, 2.0, count)[:, None]
    guess = Trajectory(np.zeros((count, 13, 3)), np.zeros((count, 12, 2)), 0.1)
    solver = GradientDescent(iterations=150, tolerance=1e-3, annealing=0.1)
    together = solve_batch(problem, states, SHOOTING, solver, guess)
    assert len(together) == count
    assert len({solution.iterations for solution in together}) > 1
    for k in (0, count // 2, count - 1):
        solution, state = together[k], states[k]
        alone = solve(problem.replaced(initial_state=state), SHOOTING, solver, guess.select(k))
        np.testing.assert_allclose(solution.trajectory.controls, alone.trajectory.controls, atol=1e-9)
        np.testing.assert_array_equal(solution.trajectory.states[0], state)
        assert (solution.status, solution.iterations) == (alone.status, alone.iterations)
        assert [entry["best"] for entry in solution.log] == pytest.approx([entry["best"] for entry in alone.log])


def test_annealing_follows_the_schedule() -> None:
    """Sigma runs over the first share of the iterations, then stays; the plan is judged at its end."""
    levels: list[float] = []

    def schedule(progress: float) -> float:
        levels.append(progress)
        return GeometricSchedule(0.5, 0.05)(progress)

    model = score_network(cartpole_data()).double()
    problem = cartpole_swing_up(horizon=4, stage_costs=[DataDistance(model, weight=1.0, schedule=schedule)])
    solution = solve(problem, SHOOTING, GradientDescent(iterations=20, annealing=0.5, patience=100))
    expected = [min(1.0, i / 9.0) for i in range(20)]
    assert [entry["progress"] for entry in solution.log] == pytest.approx(expected)
    assert set(np.round(levels, 12)) >= set(np.round(expected, 12))
    assert solution.log[-1]["best"] == pytest.approx(solution.cost, rel=1e-9)
    assert solution.surrogates == {"data_distance"}
    assert solution.task_cost == pytest.approx(solution.cost_terms["upright"])


def test_converged_only_after_the_schedule_has_run() -> None:
    solution = solve(linear_quadratic(), SHOOTING, GradientDescent(iterations=400, annealing=0.5, tolerance=1e-3))
    assert solution.status is Status.CONVERGED
    assert 200 <= solution.iterations < 400
    assert solve(linear_quadratic(), SHOOTING, GradientDescent(iterations=10)).status is Status.ITERATION_LIMIT


def test_time_limit_is_honoured_to_within_one_iteration() -> None:
    calls: list[float] = []

    def slow(state: Tensor, control: Tensor) -> Tensor:
        calls.append(time.perf_counter())
        time.sleep(0.02)
        return lq_cost(state, control)

    # one start alone would follow the cost in closed form, which does not sleep
    prepared = prepare(linear_quadratic(stage_costs=[slow]), SHOOTING, GradientDescent(iterations=1000, starts=2))
    calls.clear()
    solution = prepared.solve(time_limit=0.3)
    assert solution.status is Status.TIME_LIMIT
    # an iteration evaluates the cost once; so do the check of the guess, before the clock runs, and the report
    assert 0 < solution.iterations <= 15
    assert sum(call > calls[1] + 0.3 for call in calls) <= 3


def test_starts_are_random_where_no_guess_is_given_and_added_to_it_otherwise() -> None:
    problem = cartpole_swing_up(horizon=6)
    solver = GradientDescent(iterations=5, starts=4)
    guess = random_guesses(problem, 1, np.random.default_rng(9)).select(0)
    solution = solve(problem, SHOOTING, solver, guess)
    alone = solve(problem, SHOOTING, GradientDescent(iterations=5), guess)
    assert len(solution.starts) == 4
    np.testing.assert_allclose(solution.starts[0].trajectory.controls, alone.trajectory.controls, atol=1e-9)
    assert solution.cost == min(start.cost for start in solution.starts)
    assert len({start.cost for start in solution.starts}) == 4
    assert [start.cost for start in alone.starts] == [alone.cost]


def test_any_elementwise_optimiser_serves() -> None:
    optimum, _ = riccati()
    solver = GradientDescent(
        iterations=300, step_size=0.003, optimizer=torch.optim.SGD, optimizer_options={"momentum": 0.9}
    )
    assert solve(linear_quadratic(control_bounds=(-3.0, 3.0)), SHOOTING, solver).cost <= 1.02 * optimum


def test_single_precision_score_works_with_double_precision_dynamics() -> None:
    """Each model is evaluated in its own precision."""
    term = DataDistance(score_network(cartpole_data()), weight=1.0, sigma=0.3)
    problem = cartpole_swing_up(horizon=4, stage_costs=[term])
    solution = solve(problem, SHOOTING, GradientDescent(iterations=3))
    assert solution.data_distance is not None
    assert solution.data_distance.shape == (4,)
    assert np.isfinite(solution.cost)
    assert np.isfinite(solution.resimulate(lambda state, control: state).gap).all()


def test_gradient_that_is_not_finite_does_not_spoil_the_plan() -> None:
    def root(state: Tensor, control: Tensor) -> Tensor:
        return control[..., 0].abs().sqrt()

    guess = Trajectory(np.zeros((21, 2)), np.zeros((20, 1)), 0.05)
    solution = solve(block_move(stage_costs=[root], constraints=[]), SHOOTING, GradientDescent(iterations=5), guess)
    assert np.isfinite(solution.trajectory.controls).all()
    assert solution.cost == 0.0


# --- constraints ------------------------------------------------------------------------------------------------------

FORMULATIONS = [SHOOTING, MultipleShooting(2), DirectTranscription()]


@pytest.mark.parametrize("formulation", FORMULATIONS, ids=lambda formulation: formulation.name)
def test_the_dynamics_are_met_as_constraints(formulation: Formulation) -> None:
    optimum, controls = riccati()
    problem = linear_quadratic(control_bounds=(-3.0, 3.0))
    solution = solve(problem, formulation, GradientDescent(iterations=600))
    assert solution.status is Status.CONVERGED
    assert solution.cost == pytest.approx(optimum, rel=1e-3)
    assert solution.max_violation < 1e-3
    np.testing.assert_allclose(solution.trajectory.controls, controls, atol=0.05)


@pytest.mark.parametrize("formulation", FORMULATIONS, ids=lambda formulation: formulation.name)
def test_terminal_equalities_are_met(formulation: Formulation) -> None:
    solution = solve(block_move(10), formulation, GradientDescent(iterations=1500))
    forces = block_move_optimum(10)
    assert solution.status is Status.CONVERGED
    assert solution.max_violation < 1e-3
    assert solution.cost == pytest.approx(float((forces**2).mean()), rel=1e-3)
    force = solution.trajectory.controls[:, 0]
    np.testing.assert_allclose(force, forces, atol=0.05 * np.abs(forces).max())


def test_multipliers_are_those_of_the_optimality_conditions() -> None:
    solution = solve(block_move(), SHOOTING, GradientDescent(iterations=400))
    residual = solution.kkt_residual()
    assert residual.stationarity < 1e-2 * residual.multiplier_norm


def test_contradictory_constraints_are_reported() -> None:
    """A force of at most one cannot move the block in time."""
    solution = solve(block_move(control_bounds=(-1.0, 1.0)), SHOOTING, GradientDescent(iterations=200))
    assert not solution.success
    assert solution.rows[0].name.startswith("target")


def test_stillness_under_short_steps_is_no_convergence_and_the_best_iterate_is_kept() -> None:
    """An early overshoot leaves large multipliers, which hold the plan far below its bound."""
    limit = StageConstraint(lambda x, u: (8.0 * x[..., :1]).exp(), upper=float(np.exp(9.6)))
    problem = towards_two(constraints=[limit])
    solution = solve(problem, SHOOTING, GradientDescent(), line_guess(problem))
    feasible = [entry["merit"] for entry in solution.log if entry["violation"] <= 5e-4]
    assert solution.cost == pytest.approx(min(feasible))
    assert solution.log[-1]["merit"] > 1.1 * solution.cost
    assert solution.status is Status.ITERATION_LIMIT


@pytest.mark.parametrize("solver", [GradientDescent(), LBFGS(), DDP()], ids=lambda solver: solver.name)
def test_rows_that_are_steep_where_they_are_scaled_alone_are_judged_where_the_plan_is(solver: Solver) -> None:
    """At most 1.2, in a form whose slope is a thousand times larger at the start."""
    limit = StageConstraint(lambda x, u: 1.0 / (1e-4 + x[..., :1].square()), lower=1.0 / 1.44)
    problem = towards_two(constraints=[limit])
    solution = solve(problem, SHOOTING, solver, line_guess(problem))
    assert solution.scaled_violation <= 5e-4
    assert not solution.success or solution.trajectory.states[:, 0].max() < 1.205
    # the reference has a solution
    assert solution.status is not Status.INFEASIBLE


def towards_two(**changes: Any) -> OptimalControlProblem:
    """A unit mass at rest in 0 that wants to be in 2."""
    a = torch.tensor([[1.0, 0.1], [0.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[0.005], [0.1]], dtype=torch.float64)
    settings: dict[str, Any] = {
        "dynamics": DiscreteDynamics(lambda x, u: x @ a.T.to(x) + u @ b.T.to(x), 2, 1),
        "horizon": 20,
        "time_step": 0.1,
        "initial_state": [0.0, 0.0],
        "control_bounds": (-3.0, 3.0),
        "stage_costs": [lambda x, u: (x[..., 0] - 2.0).square() + 0.01 * u[..., 0].square()],
    }
    return OptimalControlProblem(**{**settings, **changes})


def test_slopes_tell_how_far_a_row_is() -> None:
    steep, flat = np.array([0.5, 1.0]), np.array([1e-3, 1.0])
    excess = np.array([1e-4, -1.0])
    assert not is_far(excess, steep, feasibility=1e-6, rounding=1e-16)
    assert is_far(excess, flat, feasibility=1e-6, rounding=1e-16)
    assert not is_far(excess, flat, feasibility=2e-2, rounding=1e-16)
    assert not is_far(excess, np.full(2, np.nan), feasibility=1e-6, rounding=1e-16)
    # what rounding violates is far from nothing
    assert not is_far(np.array([1e-16]), np.zeros(1), feasibility=1e-6, rounding=1e-16)


def test_conforms() -> None:
    check_solver(GradientDescent(iterations=120), SHOOTING)


# --- successive halving -----------------------------------------------------------------------------------------------


def test_worse_halves_of_the_starts_stop_and_the_best_goes_on() -> None:
    problem = cartpole_swing_up(horizon=6)
    halved = solve(problem, SHOOTING, GradientDescent(iterations=20, starts=5, halve_every=4))
    whole = solve(problem, SHOOTING, GradientDescent(iterations=20, starts=5))
    # five, three, two, one
    assert sorted(start.iterations for start in halved.starts) == [4, 4, 8, 12, 20]
    for short, long in zip(halved.starts, whole.starts, strict=True):
        expected = [entry["best"] for entry in long.log[: short.iterations]]
        assert [entry["best"] for entry in short.log] == pytest.approx(expected, rel=1e-9)
    for end in (4, 8, 12):
        going_on = [start.log[end - 1]["best"] for start in halved.starts if start.iterations > end]
        stopped = [start.log[end - 1]["best"] for start in halved.starts if start.iterations == end]
        assert max(going_on) <= min(stopped)
    assert halved.cost == min(start.cost for start in halved.starts)
    assert halved.iterations == 20


def test_a_start_that_stops_keeps_its_last_iterate_on_request() -> None:
    problem = cartpole_swing_up(horizon=6)
    settings: dict[str, Any] = {"starts": 2, "halve_every": 4, "keep": "last", "step_size": 1.5, "final_step": 1.0}
    halved, short = (solve(problem, SHOOTING, GradientDescent(iterations=n, **settings)) for n in (8, 4))
    (place,) = [k for k, start in enumerate(halved.starts) if start.iterations == 4]
    stopped = halved.starts[place]
    assert stopped.cost == pytest.approx(short.starts[place].cost, rel=1e-9)
    assert stopped.cost not in [entry["merit"] for entry in stopped.log]


def test_starts_are_halved_for_each_initial_state_by_itself() -> None:
    problem, solver = cartpole_swing_up(horizon=6), GradientDescent(iterations=12, starts=4, halve_every=3)
    states = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]])
    drawn = random_guesses(problem, 8, np.random.default_rng(3))
    guess = Trajectory(drawn.states.reshape(2, 4, 7, 4), drawn.controls.reshape(2, 4, 6, 1), drawn.time_step)
    together = solve_batch(problem, states, SHOOTING, solver, guess)
    for k, solution in enumerate(together):
        assert sorted(start.iterations for start in solution.starts) == [3, 3, 6, 12]
        alone = solve_batch(problem, states[[k]], SHOOTING, solver, guess.select([k]))[0]
        np.testing.assert_allclose(solution.trajectory.controls, alone.trajectory.controls, atol=1e-9)


def test_halves_are_told_by_the_task_at_the_end_of_schedules_while_they_adapt() -> None:
    term = DataDistance(score_network(cartpole_data()).double(), weight=1.0, schedule=GeometricSchedule(0.5, 0.05))
    problem = cartpole_swing_up(horizon=4, stage_costs=[term])
    solver = GradientDescent(iterations=30, starts=6, halve_every=5, adaptive=AdaptiveAnnealing(stages=3, patience=4))
    solution = solve(problem, SHOOTING, solver)
    assert sorted(start.iterations for start in solution.starts) == [5, 5, 5, 10, 15, 30]
    assert solution.log[-1]["progress"] == 1.0


@pytest.mark.parametrize("formulation", FORMULATIONS, ids=lambda formulation: formulation.name)
def test_a_start_that_stops_is_what_it_is_when_all_stop_there(formulation: Formulation) -> None:
    """Its multipliers too."""
    problem = block_move(control_bounds=(-9.0, 9.0))
    guess = random_guesses(problem, 2, np.random.default_rng(1))
    settings: dict[str, Any] = {"halve_every": 3, "final_step_constrained": 1.0}
    halved = solve(problem, formulation, GradientDescent(iterations=6, **settings), guess)
    short = solve(problem, formulation, GradientDescent(iterations=3, **settings), guess)
    assert sorted(start.iterations for start in halved.starts) == [3, 6]
    (place,) = [k for k, start in enumerate(halved.starts) if start.iterations == 3]
    stopped, expected = halved.starts[place], short.starts[place]
    np.testing.assert_allclose(stopped.trajectory.controls, expected.trajectory.controls, rtol=1e-9, atol=1e-12)
    assert expected.multipliers["constraints"].any()
    np.testing.assert_allclose(stopped.multipliers["constraints"], expected.multipliers["constraints"], rtol=1e-9)


@pytest.mark.parametrize(
    ("merit", "violation", "live", "expected"),
    [
        ([4.0, 3.0, 2.0, 1.0], [0.0] * 4, [True] * 4, [False, False, True, True]),
        ([4.0, 3.0, 2.0, 1.0], [0.0, 0.0, 0.5, 0.6], [True] * 4, [True, True, False, False]),
        ([4.0, 3.0, 2.0, 1.0], [0.9, 0.8, 0.5, 0.6], [True] * 4, [False, False, True, True]),
        ([4.0, np.nan, 2.0, np.inf], [0.9, 0.0, 0.9, 0.0], [True] * 4, [True, False, True, False]),
        ([4.0, 3.0, 2.0, 1.0], [0.0] * 4, [True, True, True, False], [False, True, True, False]),
        ([4.0, 3.0, 2.0, 1.0], [0.0] * 4, [False, True, False, False], [False, True, False, False]),
        ([np.nan] * 4, [np.nan] * 4, [True] * 4, [True, True, False, False]),
    ],
)
def test_the_better_half(merit: list[float], violation: list[float], live: list[bool], expected: list[bool]) -> None:
    found = better_half(torch.tensor(live), torch.tensor(merit), torch.tensor(violation), feasibility=1e-3, starts=4)
    assert found.tolist() == expected


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "GradientDescent: iterations = 0; it must be a whole number, at least 1."),
        ({"starts": -3}, "GradientDescent: starts = -3"),
        ({"halve_every": 0}, "GradientDescent: halve_every = 0; it must be a whole number, at least 1."),
        ({"patience": 0}, "GradientDescent: patience = 0"),
        ({"step_size": -0.1}, "GradientDescent: step_size = -0.1; it must be a positive number."),
        ({"tolerance": float("inf")}, "GradientDescent: tolerance = inf"),
        ({"annealing": 1.5}, "GradientDescent: annealing = 1.5; it must be above 0 and at most 1."),
        ({"final_step": 0.0}, "GradientDescent: final_step = 0.0"),
        ({"keep": "first"}, "GradientDescent: unknown keep 'first'; choose from 'best', 'last'."),
        ({"multiplier_rate": 2.0}, "GradientDescent: multiplier_rate = 2.0"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        GradientDescent(**settings)


def test_unknown_optimiser_option_is_named() -> None:
    solver = GradientDescent(optimizer_options={"momentun": 0.9})
    with pytest.raises(OptionError, match="GradientDescent: the optimiser does not accept its options.*momentun"):
        prepare(linear_quadratic(), SHOOTING, solver)


def test_invalid_optimiser_value_is_refused() -> None:
    solver = GradientDescent(optimizer_options={"betas": (2.0, 0.9)})
    with pytest.raises(OptionError, match="GradientDescent: the optimiser does not accept its options.*beta"):
        prepare(linear_quadratic(), SHOOTING, solver)


def test_optimiser_that_needs_a_closure_is_refused() -> None:
    with pytest.raises(OptionError, match="GradientDescent: LBFGS evaluates the objective itself"):
        prepare(linear_quadratic(), SHOOTING, GradientDescent(optimizer=torch.optim.LBFGS))


def test_pair_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(IncompatibleError) as caught:
        solve(linear_quadratic(), DirectTranscription(), CEM())
    message = str(caught.value)
    assert message.startswith("DirectTranscription does not work with CEM. Pairs that do: ")
    for pair in ("DirectTranscription with GradientDescent", "PolicySearch with CEM", "SingleShooting with CEM"):
        assert pair in message
    for pair in ("DirectTranscription with CEM", "DirectTranscription with DDP", "SingleShooting with Ipopt"):
        assert pair not in message


def test_random_guesses_need_bounds() -> None:
    with pytest.raises(OptionError, match=r"Random guesses need bounded controls; u\[1\] has no upper bound"):
        solve(linear_quadratic(control_bounds=(-1.0, [1.0, np.inf])), SHOOTING, GradientDescent())


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (np.zeros(3), r"Initial states have shape \(3,\); they must be \(B, 3\)"),
        (np.zeros((2, 4)), r"Initial states have shape \(2, 4\)"),
        (np.array([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0]]), "Initial state 1 is not finite"),
    ],
)
def test_bad_initial_states_are_refused(states: FloatArray, message: str) -> None:
    with pytest.raises(TrajoptError, match=message):
        solve_batch(linear_quadratic(), states, SHOOTING, GradientDescent())
