"""What solve does with guesses, whatever the solver."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.problems import LQ_DYNAMICS, cartpole_data, cartpole_swing_up, energy_network, linear_quadratic
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, HermiteSimpson, MultipleShooting, SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics, OptimalControlProblem, StageCost, Trajectory
from trajopt_sgp.solvers import CEM, LBFGS, GradientDescent, Ipopt, prepare, random_guesses, solve, solve_batch
from trajopt_sgp.solvers.data_lengths import data_lengths
from trajopt_sgp.solvers.guess import rollout
from trajopt_sgp.studies.problems import van_der_pol
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance


@pytest.mark.parametrize(
    ("states", "controls"), [((12, 3), (11, 2)), ((13, 2), (12, 2)), ((13, 3), (12, 1)), ((4, 14, 3), (4, 13, 2))]
)
def test_guess_of_wrong_shape_is_refused(states: tuple[int, ...], controls: tuple[int, ...]) -> None:
    guess = Trajectory(np.zeros(states), np.zeros(controls))
    with pytest.raises(ShapeError, match=r"The guess has states .*; this problem needs \(13, 3\), \(12, 2\)"):
        solve(linear_quadratic(), DirectTranscription(), Ipopt(), guess)


@pytest.mark.parametrize(
    ("mesh", "remedy"),
    [(None, r"resample\(12\)"), (np.linspace(0.0, 1.0, 13) ** 2, r"resample\(12, problem.grid.mesh\)")],
)
def test_a_guess_of_another_horizon_is_told_how_to_fit(mesh: FloatArray | None, remedy: str) -> None:
    problem = linear_quadratic(mesh=mesh)
    guess = Trajectory(np.zeros((8, 3)), np.zeros((7, 2)))
    with pytest.raises(ShapeError, match=remedy):
        solve(problem, DirectTranscription(), Ipopt(), guess)
    assert solve(problem, DirectTranscription(), Ipopt(), guess.resample(12, mesh)).success


@pytest.mark.usefixtures("unchecked_types")
def test_solutions_are_stacked_to_a_guess_of_a_batch() -> None:
    states = np.random.default_rng(0).uniform(-1.0, 1.0, (3, 3))
    first = solve_batch(linear_quadratic(), states, DirectTranscription(), Ipopt())
    guess = Trajectory.stack(first)
    assert guess.states.shape == (3, 13, 3)
    np.testing.assert_array_equal(guess.states[1], first[1].trajectory.states)
    again = solve_batch(linear_quadratic(), states, DirectTranscription(), Ipopt(), guess)
    assert [plan.cost for plan in again] == pytest.approx([plan.cost for plan in first])
    wrong: Any = first
    with pytest.raises(OptionError, match=r"not list; Trajectory.stack\(guess\) makes one of a list"):
        solve_batch(linear_quadratic(), states, DirectTranscription(), Ipopt(), wrong)


def test_trajectories_that_do_not_fit_are_not_stacked() -> None:
    plan = Trajectory(np.zeros((5, 3)), np.zeros((4, 2)), 0.1)
    assert Trajectory.stack([plan, replace(plan, time_step=0.3)]).time_step == pytest.approx(0.2)
    assert Trajectory.stack([replace(plan, time_step=0.1)] * 3).time_step == 0.1
    with pytest.raises(OptionError, match="at least one trajectory"):
        Trajectory.stack([])
    with pytest.raises(ShapeError, match=r"0: states \(5, 3\), controls \(4, 2\), 1: .*`resample` brings them"):
        Trajectory.stack([plan, plan.resample(8)])
    with pytest.raises(ShapeError, match="share a mesh"):
        Trajectory.stack([plan, replace(plan, mesh=np.linspace(0.0, 1.0, 5) ** 2)])


def test_guess_with_nan_is_refused() -> None:
    states = np.zeros((13, 3))
    states[4, 1] = np.nan
    with pytest.raises(NotFiniteError, match=r"The guess is not finite: state\[1\] at knot 4"):
        solve(linear_quadratic(), DirectTranscription(), Ipopt(), Trajectory(states, np.zeros((12, 2))))


def test_read_only_guess_is_accepted_and_left_alone() -> None:
    states, controls = np.zeros((13, 3)), np.full((12, 2), 0.1)
    states.setflags(write=False)
    controls.setflags(write=False)
    for formulation, solver in ((DirectTranscription(), Ipopt()), (SingleShooting(), GradientDescent(iterations=3))):
        solve(linear_quadratic(), formulation, solver, Trajectory(states, controls))
    assert (controls == 0.1).all()


def test_guess_for_another_number_of_initial_states_is_refused() -> None:
    guess = Trajectory(np.zeros((2, 13, 3)), np.zeros((2, 12, 2)))
    with pytest.raises(ShapeError, match="The guess is for 2 initial states, not for 3"):
        solve_batch(linear_quadratic(), np.zeros((3, 3)), DirectTranscription(), Ipopt(), guess)


@pytest.mark.usefixtures("unchecked_types")
def test_guess_that_is_no_trajectory_is_refused() -> None:
    problem, guess = linear_quadratic(), np.zeros((12, 2))
    with pytest.raises(OptionError, match=r"guess: it must be a Trajectory\(states, controls\).*not ndarray"):
        solve(problem, DirectTranscription(), Ipopt(), guess)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="guess: it must be a Trajectory"):
        solve_batch(problem, np.zeros((1, 3)), DirectTranscription(), Ipopt(), guess)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_types")
def test_formulation_and_solver_that_are_something_else_are_refused() -> None:
    problem: Any = linear_quadratic()
    with pytest.raises(OptionError, match=r"The formulation is Ipopt\(.*in this order: solve\(problem, Direct"):
        solve(problem, Ipopt(), DirectTranscription())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"The formulation is the class DirectTranscription: write Direct.*\(\)"):
        solve(problem, DirectTranscription, Ipopt())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"The solver is the class Ipopt: write Ipopt\(\)"):
        solve(problem, DirectTranscription(), Ipopt)  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [None, {"x[0]": 1.0, "x[2]": 0.0}])
def test_states_of_a_batch_that_the_problem_would_not_hold_are_refused(start: Any) -> None:
    free = linear_quadratic(initial_state=start)
    with pytest.raises(IncompatibleError, match=r"The problem leaves .*x\[1\].* free at the beginning.*initial_state="):
        solve_batch(free, np.ones((2, 3)), DirectTranscription(), Ipopt())


def test_a_batch_of_no_states_has_no_solutions() -> None:
    assert solve_batch(linear_quadratic(), np.zeros((0, 3)), DirectTranscription(), Ipopt()) == []


@pytest.mark.parametrize("limit", [-1.0, 0.0, float("nan")])
def test_time_limit_that_is_no_time_is_refused(limit: float) -> None:
    with pytest.raises(OptionError, match=f"time_limit = {limit}: it must be a positive number of seconds"):
        solve(linear_quadratic(), DirectTranscription(), Ipopt(), time_limit=limit)


def test_batch_of_ipopt_equals_single_solves() -> None:
    states = np.random.default_rng(0).normal(size=(3, 3))
    prepared = prepare(linear_quadratic(), DirectTranscription(), Ipopt())
    for solution, state in zip(prepared.solve_batch(states), states, strict=True):
        alone = solve(linear_quadratic(initial_state=state), DirectTranscription(), Ipopt())
        np.testing.assert_allclose(solution.trajectory.controls, alone.trajectory.controls, atol=1e-6)
        np.testing.assert_array_equal(solution.trajectory.states[0], state)


def test_starts_of_a_batch_stay_with_their_state() -> None:
    states = np.random.default_rng(0).normal(size=(2, 3))
    solutions = solve_batch(linear_quadratic(), states, SingleShooting(), GradientDescent(iterations=5, starts=3))
    for solution, state in zip(solutions, states, strict=True):
        assert len(solution.starts) == 3
        for start in solution.starts:
            np.testing.assert_array_equal(start.trajectory.states[0], state)


def test_random_guesses_obey_model_and_spread() -> None:
    problem = cartpole_swing_up(horizon=5, control_bounds=(-10.0, 30.0))
    guesses = random_guesses(problem, 200, np.random.default_rng(0), spread=0.5)
    assert guesses.controls.shape == (200, 5, 1)
    assert 0.0 <= guesses.controls.min() < 0.5
    assert 19.5 < guesses.controls.max() <= 20.0
    again = rollout(problem, guesses.controls[3], np.zeros(4))
    np.testing.assert_allclose(guesses.states[3], again.states, atol=1e-12)


def test_every_plan_reports_its_distance_to_data() -> None:
    """Whether the distance is a cost, a constraint, or measured by a model without calibration."""
    data = cartpole_data()
    exact = ExactSmoothedDistance(data)
    trajectory = random_guesses(cartpole_swing_up(horizon=5), 1, np.random.default_rng(0)).select(0)
    as_cost = cartpole_swing_up(horizon=5, stage_costs=[DataDistance(exact, sigma=0.2)])
    as_constraint = cartpole_swing_up(horizon=5, constraints=[DataDistance(exact, sigma=0.2, upper=0.3)])
    first, second = (data_lengths(problem, trajectory, problem.values()) for problem in (as_cost, as_constraint))
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first, second, rtol=1e-9)
    z = exact.normalizer.normalize(np.hstack([trajectory.states[:-1], trajectory.controls]))
    assert ((first == 0.0) | (first < exact.nearest(z) + 0.3)).all()
    network = energy_network(data)
    network.calibration = None
    raw = cartpole_swing_up(horizon=5, stage_costs=[DataDistance(network, sigma=0.2)])
    assert solve(raw, SingleShooting(), GradientDescent(iterations=2)).data_distance is not None


def test_random_starts_beside_a_guess_on_another_mesh_stay_rollouts() -> None:
    """All starts have the knots of the problem, whatever those of the guess."""
    problem = linear_quadratic()
    mesh = np.linspace(0.0, 1.0, problem.horizon + 1) ** 2
    guess = Trajectory(
        np.zeros((problem.horizon + 1, 3)),
        np.zeros((problem.horizon, problem.control_size)),
        problem.grid.time_step,
        mesh,
    )
    generator = np.random.default_rng(0)
    # the first iterate is the guess
    unmoved = GradientDescent(iterations=1, starts=3)
    own, *others = solve(problem, DirectTranscription(), unmoved, guess, generator=generator).starts
    np.testing.assert_array_equal(own.trajectory.controls, guess.controls)
    assert len(others) == 2
    for start in others:
        assert np.abs(start.trajectory.controls).max() > 1.0
        again = rollout(problem, start.trajectory.controls)
        np.testing.assert_allclose(start.trajectory.states, again.states, atol=1e-12)
    assert all(start.trajectory.mesh is None for start in (own, *others))


def detached(state: Tensor, control: Tensor) -> Tensor:
    return state.detach().square().sum(-1) + control.detach().square().sum(-1)


def in_numpy(state: Tensor, control: Tensor) -> Tensor:
    return torch.as_tensor(np.square(state.detach().numpy()).sum(-1))


HIDDEN = "changes with its arguments, but gives torch no gradient"


@pytest.mark.parametrize("cost", [detached, in_numpy])
def test_costs_that_hide_their_gradient_are_refused_where_it_is_followed(cost: Any) -> None:
    problem = linear_quadratic(stage_costs=[StageCost(cost, name="hidden")])
    for formulation, solver in ((DirectTranscription(), Ipopt()), (SingleShooting(), GradientDescent())):
        with pytest.raises(OptionError, match=f"The stage cost 'hidden' {HIDDEN}"):
            solve(problem, formulation, solver)
    sampled = solve(problem, SingleShooting(), CEM(iterations=3))
    assert sampled.cost < solve(problem, SingleShooting(), CEM(iterations=1)).cost


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_functions_that_numpy_cannot_differentiate_are_named() -> None:
    problem = linear_quadratic(stage_costs=[StageCost(lambda x, u: np.cos(x)[..., 0], name="wave")])
    with pytest.raises(OptionError, match=r"The stage cost 'wave' could not be computed .* RuntimeError: Can't call"):
        solve(problem, SingleShooting(), GradientDescent())


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(3)], ids=["by chance", "by the batch"])
def test_models_in_training_are_refused(layer: nn.Module) -> None:
    net = nn.Sequential(layer).double()

    def driven(state: Tensor, control: Tensor) -> Tensor:
        push: Tensor = net(state.reshape(-1, 3)).reshape(state.shape)
        return LQ_DYNAMICS(state, control) + 0.1 * push

    problem = linear_quadratic(dynamics=DiscreteDynamics(driven, 3, 2), initial_state=[1.0, 0.5, -0.3])
    with pytest.raises(OptionError, match=r"The dynamics gives other values .* Call eval\(\) on models"):
        prepare(problem, DirectTranscription(), Ipopt())
    net.eval()
    prepare(problem, DirectTranscription(), Ipopt())


def test_constants_of_another_precision_are_named() -> None:
    """What fits a model in single precision does not fit where the solver computes in double."""
    data, weights = cartpole_data(), torch.eye(4)
    problem = cartpole_swing_up(
        dynamics=LearnedDynamics(data.dataset, fit_normalizer(data)),
        time_step=0.05,
        stage_costs=[StageCost(lambda x, u: ((x @ weights) * x).sum(-1), name="tracking")],
    )
    solve(problem, SingleShooting(), GradientDescent(iterations=1))
    with pytest.raises(OptionError, match=r"The stage cost 'tracking' could not be .* of float64: .*matrix\.to\(x\)"):
        solve(problem, DirectTranscription(), Ipopt())


def test_a_guess_without_the_dimension_of_the_batch_is_refused() -> None:
    guess = Trajectory(np.zeros((13, 3)), np.zeros((12, 2)))
    for count in (12, 3):
        with pytest.raises(ShapeError, match=rf"leading dimensions \(\); for {count} initial states it needs"):
            solve_batch(linear_quadratic(), np.zeros((count, 3)), DirectTranscription(), Ipopt(), guess)


def test_starts_beside_a_solution_of_collocation() -> None:
    """Its controls are polynomials within the intervals, which every member of the batch shares."""
    problem = van_der_pol().replaced(horizon=6)
    first = solve(problem, HermiteSimpson(), Ipopt())
    again = solve(problem, HermiteSimpson(), LBFGS(starts=3, max_iterations=5), guess=first)
    assert len(again.starts) == 3
    np.testing.assert_allclose(again.trajectory.states[0], first.trajectory.states[0])


def test_random_guesses_are_integrated_as_the_formulation_does_it() -> None:
    """A stiff model leaves every range under a single step of Runge and Kutta."""
    stiff = OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: -60.0 * (x - u), 1, 1),
        horizon=10,
        initial_state=[1.0],
        stage_costs=[lambda x, u: x.square().sum(-1) + u.square().sum(-1)],
        control_bounds=(-1.0, 1.0),
        time_step=0.1,
    )
    formulation = MultipleShooting(1, substeps=20)
    # the first iterate is the guess, with its states at all knots
    plan = solve(stiff, formulation, GradientDescent(iterations=1), generator=np.random.default_rng(0)).trajectory
    assert np.abs(plan.states).max() <= 1.0
    again = rollout(stiff, plan.controls, formulation=formulation)
    np.testing.assert_allclose(plan.states, again.states, atol=1e-12)
    controls = np.zeros((10, 1))
    assert np.abs(rollout(stiff, controls).states).max() > 1e6
    exact = np.exp(-60.0 * 0.1 * np.arange(11))
    np.testing.assert_allclose(rollout(stiff, controls, formulation=formulation).states[:, 0], exact, atol=1e-4)
