"""Packing, bounds, scaling, and the agreement of formulations with each other and with known optima."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    around_a_pillar,
    block_move,
    block_move_optimum,
    cartpole_data,
    cartpole_swing_up,
    linear_quadratic,
    riccati,
)
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CartPoleDynamics, CartPoleParameters
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    NonlinearProgram,
    OrthogonalCollocation,
    PolicySearch,
    SingleShooting,
)
from trajopt_sgp.formulations.scaling import control_scale, state_scale
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics, OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import Ipopt, random_guesses, solve

FORMULATIONS: list[Formulation] = [SingleShooting(), MultipleShooting(steps_per_interval=1), DirectTranscription()]
each_formulation = pytest.mark.parametrize("formulation", FORMULATIONS, ids=lambda f: f.name)


def guesses(problem: OptimalControlProblem, count: int = 3) -> Trajectory:
    return random_guesses(problem, count, np.random.default_rng(1))


def bounded_cartpole() -> OptimalControlProblem:
    return cartpole_swing_up(horizon=5, state_bounds=([-5.0, -np.inf, -8.0, -12.0], [5.0, np.inf, 8.0, 12.0]))


@each_formulation
def test_pack_and_unpack_are_inverse(formulation: Formulation) -> None:
    problem = bounded_cartpole()
    program = formulation.transcribe(problem, needs_value=True)
    trajectories = guesses(problem)
    variables = program.pack(trajectories)
    assert variables.shape == (3, program.size)
    for k, packed in enumerate(variables):
        back = program.unpack(packed, problem.values())
        np.testing.assert_allclose(back.states, trajectories.states[k], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(back.controls, trajectories.controls[k], rtol=1e-13)
        assert back.time_step == problem.time_step
        np.testing.assert_allclose(program.pack(back), packed, rtol=1e-12, atol=1e-12)


def test_a_guess_on_another_mesh_is_taken_at_the_times_of_the_knots() -> None:
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: u, 1, 1),
        horizon=4,
        initial_state=[0.0],
        duration=2.0,
        mesh=[0.0, 0.1, 0.3, 0.5, 1.0],
    )
    even = np.linspace(0.0, 2.0, 5)
    guess = Trajectory(even[:, None], even[:-1, None], time_step=0.5)
    program = DirectTranscription().transcribe(problem, needs_value=True)
    packed = program.unpack(program.pack(guess), problem.values())
    np.testing.assert_allclose(packed.times, [0.0, 0.2, 0.6, 1.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(packed.states[:, 0], packed.times, atol=1e-12)
    # the interval of the guess that each knot lies in
    np.testing.assert_allclose(packed.controls[:, 0], [0.0, 0.0, 0.5, 1.0], atol=1e-12)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("kind", [SingleShooting, MultipleShooting, DirectTranscription, PolicySearch])
def test_unknown_integrators_and_counts_are_refused_at_once(kind: Any) -> None:
    with pytest.raises(OptionError, match="unknown integrator 'foo'; choose from"):
        kind(integrator="foo")
    with pytest.raises(OptionError, match="substeps = 0; it must be a whole number, at least 1"):
        kind(substeps=0)


@pytest.mark.parametrize(
    "formulation",
    [SingleShooting(), MultipleShooting(), DirectTranscription(), HermiteSimpson(), OrthogonalCollocation()],
    ids=lambda f: f.name,
)
def test_a_model_without_controls_finds_its_beginning(formulation: Formulation) -> None:
    decay = OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: -x, 1, 0),
        horizon=5,
        time_step=0.1,
        initial_state=None,
        final_state=[0.5],
        stage_costs=[lambda x, u: x.square().sum(-1)],
    )
    solution = solve(decay, formulation, Ipopt())
    assert solution.success
    assert solution.trajectory.states[0, 0] == pytest.approx(0.5 * np.exp(0.5), rel=1e-5)
    assert solution.trajectory.controls.shape == (5, 0)


def test_a_program_without_variables_is_refused() -> None:
    fixed = OptimalControlProblem(dynamics=DiscreteDynamics(lambda x, u: 0.5 * x, 1, 0), horizon=5, initial_state=[1.0])
    with pytest.raises(IncompatibleError, match="SingleShooting leaves nothing to be found"):
        solve(fixed, SingleShooting(), Ipopt())


@each_formulation
def test_bounds_hold_the_initial_state_and_the_boxes(formulation: Formulation) -> None:
    problem = bounded_cartpole()
    program = formulation.transcribe(problem, needs_value=True)
    start = np.array([9.0, 0.1, 0.2, 0.3])  # outside the box, which begins at x_1
    sides = [side * program.scale for side in program.bounds(start)]
    lower, upper = (np.full(len(program.full_scale), np.nan) for _ in range(2))
    lower[program.decided], upper[program.decided] = sides
    controls, states = program.layout.controls[0.0], program.layout.knot_states
    np.testing.assert_allclose(lower[controls], -80.0)
    np.testing.assert_allclose(upper[controls], 80.0)
    kept = np.array([bool(np.isin(row, program.decided).all()) for row in states])
    for knot in np.flatnonzero(kept):
        given = knot == 0
        np.testing.assert_allclose(lower[states[knot]], start if given else [-5.0, -np.inf, -8.0, -12.0])
        np.testing.assert_allclose(upper[states[knot]], start if given else [5.0, np.inf, 8.0, 12.0])
    row_lower, row_upper = (side * program.assembly.row_unscale() for side in program.assembly.bounds())
    names = [program.assembly.row_name(i) for i in range(program.assembly.row_count)]
    bounds = {"p": 5.0, "p_dot": 8.0, "theta_dot": 12.0}
    for knot in np.flatnonzero(~kept)[int(not kept[0]) :]:
        for label, bound in bounds.items():
            row = names.index((f"state_bounds[{label}]", int(knot)))
            np.testing.assert_allclose([row_lower[row], row_upper[row]], [-bound, bound])


def test_bounds_of_a_batch_hold_each_initial_state() -> None:
    program = DirectTranscription().transcribe(bounded_cartpole(), needs_value=True)
    starts = np.random.default_rng(0).normal(size=(3, 4))
    lower, upper = program.bounds(starts)
    for k, start in enumerate(starts):
        one = program.bounds(start)
        np.testing.assert_array_equal(lower[k], one[0])
        np.testing.assert_array_equal(upper[k], one[1])


@each_formulation
def test_a_rollout_has_the_costs_of_the_problem_and_no_defects(formulation: Formulation) -> None:
    problem = cartpole_swing_up(horizon=6)
    program = formulation.transcribe(problem, needs_value=True)
    trajectory = guesses(problem).select(0)
    variables, parameters = program.pack(trajectory), problem.values()
    states, controls = torch.tensor(trajectory.states), torch.tensor(trajectory.controls)
    stage = problem.stage_terms[0].face(needs_value=True).function(states[:-1], controls, parameters)
    total = float(stage.sum() + problem.terminal_terms[0].weighted(states[-1], parameters))
    assert sum(program.cost_terms(trajectory, parameters).values()) == pytest.approx(total, rel=1e-12)
    assert program.assembly.objective(variables, parameters) == pytest.approx(total, rel=1e-12)
    assert np.abs(program.assembly.rows(variables, parameters)).max(initial=0.0) <= 1e-13
    assert all(row.violation <= 1e-12 for row in program.violated_rows(program.excess(variables, parameters)))


def test_shooting_clips_controls_before_it_rolls_out() -> None:
    problem = cartpole_swing_up(horizon=3)
    program = SingleShooting().transcribe(problem, needs_value=True)
    trajectory = program.unpack(np.array([5.0, -5.0, 0.5]), problem.values())
    np.testing.assert_array_equal(trajectory.controls[:, 0], [80.0, -80.0, 40.0])
    after = CartPoleDynamics(CartPoleParameters(time_step=0.1))(
        torch.zeros(4, dtype=torch.float64), torch.tensor([80.0], dtype=torch.float64)
    )
    np.testing.assert_allclose(trajectory.states[1], after.numpy(), rtol=1e-14)


def test_units_come_from_bounds_then_from_the_model_then_are_one() -> None:
    free = cartpole_swing_up(control_bounds=None)
    np.testing.assert_array_equal(state_scale(free), np.ones(4))
    np.testing.assert_array_equal(control_scale(free), [1.0])
    boxed = cartpole_swing_up(state_bounds=([-5.0, -np.inf, -8.0, 2.0], [5.0, 1.0, 8.0, 4.0]))
    np.testing.assert_array_equal(state_scale(boxed), [5.0, 1.0, 8.0, 1.0])
    np.testing.assert_array_equal(control_scale(boxed), [80.0])
    held = cartpole_swing_up(control_bounds=(3.0, 3.0))
    np.testing.assert_array_equal(control_scale(held), [1.0])
    data = cartpole_data()
    learned = free.replaced(dynamics=LearnedDynamics(data.dataset, fit_normalizer(data), (4,)), time_step=0.05)
    scale = fit_normalizer(data).scale
    np.testing.assert_array_equal(state_scale(learned), scale[:4])
    np.testing.assert_array_equal(control_scale(learned), scale[4:])


def solved(problem: OptimalControlProblem, formulation: Formulation, guess: Trajectory | None = None) -> Solution:
    solution = solve(problem, formulation, Ipopt(), guess)
    assert solution.status.label == "solved", str(solution)
    return solution


@each_formulation
def test_linear_quadratic_optimum_is_that_of_riccati(formulation: Formulation) -> None:
    cost, controls = riccati()
    solution = solved(linear_quadratic(), formulation)
    assert solution.cost == pytest.approx(cost, rel=1e-9)
    np.testing.assert_allclose(solution.trajectory.controls, controls, atol=1e-7)


@each_formulation
def test_block_move_takes_the_least_norm_force(formulation: Formulation) -> None:
    solution = solved(block_move(), formulation)
    np.testing.assert_allclose(solution.trajectory.controls[:, 0], block_move_optimum(), atol=1e-6)
    np.testing.assert_allclose(solution.trajectory.states[-1], [1.0, 0.0], atol=1e-7)
    # the continuous optimum is 12; held controls cost 1/(1 - 1/N^2) of it
    assert solution.cost == pytest.approx(12.0 / (1.0 - 1.0 / 20**2), rel=1e-7)


@pytest.mark.parametrize("factor", [1e-2, 7.0])
def test_solution_does_not_depend_on_the_units(factor: float) -> None:
    """Other scales of the variables and rows make the same plan."""
    problem = linear_quadratic(control_bounds=([-0.6, -0.3], [0.6, 0.3]), state_bounds=(-2.0, 2.0))
    expected = solved(problem, DirectTranscription())
    problem = problem.replaced(state_scale=factor * state_scale(problem), control_scale=control_scale(problem) / factor)
    program = DirectTranscription().transcribe(problem, needs_value=True)
    assert program.scale[0] == pytest.approx(2.0 * factor)
    solution = solved(problem, DirectTranscription())
    np.testing.assert_allclose(solution.trajectory.controls, expected.trajectory.controls, atol=1e-5)
    np.testing.assert_allclose(solution.trajectory.states, expected.trajectory.states, atol=1e-5)


def test_formulations_agree_on_the_swing_up() -> None:
    problem = cartpole_swing_up()
    direct = solved(problem, DirectTranscription())
    nudged = direct.trajectory.controls + np.random.default_rng(0).normal(scale=2.0, size=(20, 1))
    shooting = solved(problem, SingleShooting(), replace(direct.trajectory, controls=nudged))
    assert direct.cost_terms["upright"] < 0.2
    assert shooting.cost == pytest.approx(direct.cost, rel=1e-7)
    np.testing.assert_allclose(shooting.trajectory.controls, direct.trajectory.controls, atol=1e-3)
    np.testing.assert_allclose(shooting.trajectory.states, direct.trajectory.states, atol=1e-4)


def test_formulations_agree_around_a_pillar() -> None:
    problem = around_a_pillar()
    first = solved(problem, DirectTranscription(), guesses(problem).select(0))
    # the same way round the pillar
    plans = [first, *(solved(problem, formulation, first.trajectory) for formulation in FORMULATIONS)]
    for plan in plans:
        radius = np.linalg.norm(plan.trajectory.states[:-1], axis=1)
        assert radius.min() >= 0.5 - 1e-6
        assert radius.min() <= 0.5 + 1e-4  # the constraint is active
        assert plan.cost == pytest.approx(first.cost, rel=1e-6)


def evaluated(program: NonlinearProgram, variables: FloatArray, states: FloatArray) -> tuple[FloatArray, FloatArray]:
    w = torch.tensor(variables, requires_grad=True)
    found = program.evaluate(w, program.problem.values(states))
    (gradient,) = torch.autograd.grad(found.objective.sum(), w)
    np.testing.assert_allclose(found.merit.numpy(), found.objective.detach().numpy(), rtol=1e-12)
    return found.objective.detach().numpy(), gradient.numpy()


@pytest.mark.parametrize("count", [1, 4, 20])
@each_formulation
def test_a_batch_has_the_objectives_of_its_members(count: int, formulation: Formulation) -> None:
    """Small and large batches are differentiated in different ways."""

    def running(state: Tensor, control: Tensor) -> Tensor:
        return state.cos().sum(-1) * control[..., 0].square()

    problem = cartpole_swing_up(horizon=5, stage_costs=[running])
    program = formulation.transcribe(problem, needs_value=True)
    rng = np.random.default_rng(0)
    variables, states = rng.uniform(-1.0, 1.0, (count, program.size)), rng.normal(size=(count, 4))
    objective, gradient = evaluated(program, variables, states)
    for k in range(count):
        value, slope = program.assembly.gradient(variables[k], problem.values(states[k]))
        assert objective[k] == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(gradient[k], slope, rtol=1e-9, atol=1e-12)
