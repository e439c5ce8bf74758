"""A solution proves itself: named rows, resimulation, interpolation."""

import copy
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch

from tests.problems import around_a_pillar, block_move, cartpole_swing_up
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CartPoleDynamics, CartPoleParameters, CartPoleSwingUpEnv
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve


@pytest.fixture(scope="module")
def moved_block() -> Solution:
    return solve(block_move(), DirectTranscription(), Ipopt())


@pytest.mark.parametrize(
    ("place", "name", "knot"),
    [
        (("state", 18, 1), "defect[velocity]", 17),
        (("state", 1, 0), "defect[position]", 0),
        (("state", 20, 0), "target[0]", 20),
        (("control", 5, 0), "control_bounds[force]", 5),
        (("state", 0, 1), "state_bounds[velocity]", 0),
    ],
)
def test_perturbed_iterate_names_its_worst_row(
    moved_block: Solution, place: tuple[str, int, int], name: str, knot: int
) -> None:
    program = DirectTranscription().transcribe(moved_block.problem, needs_value=True)
    variables = program.pack(moved_block.trajectory)
    kind, at, i = place
    index = program.layout.knot_states if kind == "state" else program.layout.controls[0.0]
    variables[index[at, i]] += 30.0 / program.scale[index[at, i]]
    rows = program.violated_rows(program.excess(variables, moved_block.problem.values()))
    by_name = {(row.name, row.knot): row.violation for row in rows}
    assert [row.violation for row in rows] == sorted(by_name.values(), reverse=True)
    expected = 30.0 if kind == "state" else 10.0 + moved_block.trajectory.controls[at, i]
    assert by_name[name, knot] == pytest.approx(expected, rel=1e-6)
    assert any(f"{name} at knot {knot}: " in str(row) for row in rows)


def test_what_is_printed_fits_on_a_line(moved_block: Solution) -> None:
    found = moved_block.resimulate(lambda x, u: x + 0.05 * np.array([x[1], u[0] + 1.0]))
    assert repr(found) == f"Resimulation({found})" and "\n" not in repr(found)
    assert f"largest gap {np.abs(found.gap).max():.3g} in velocity at knot 20" in str(found)
    assert f"cost {found.cost:.4g} (" in str(found)
    assert repr(found.trajectory) == "Trajectory(N=20, n=2, m=1, 1 s)"
    many = Trajectory(np.zeros((3, 4, 2)), np.zeros((3, 3, 1)), 0.1)
    assert repr(many) == "Trajectory(3 x N=3, n=2, m=1, 0.3 s)"


def test_copies_are_guesses_like_the_solution(moved_block: Solution) -> None:
    for copied in (copy.copy(moved_block), copy.deepcopy(moved_block)):
        again = solve(moved_block.problem, DirectTranscription(), Ipopt(), copied)
        assert again.iterations == solve(moved_block.problem, DirectTranscription(), Ipopt(), moved_block).iterations
        assert copied.kkt_residual() == moved_block.kkt_residual()
    deep = copy.deepcopy(moved_block)
    deep.trajectory.states[3] = 7.0
    assert moved_block.trajectory.states[3, 0] < 1.0
    with pytest.raises(OptionError, match="A solution cannot be pickled.*save_trajectory"):
        ForkingPickler.dumps([moved_block])


def test_violations_are_filtered_by_tolerance(moved_block: Solution) -> None:
    program = DirectTranscription().transcribe(moved_block.problem, True)
    excess = program.excess(np.full(62, 0.01), moved_block.problem.values())
    solution = replace(moved_block, rows=program.violated_rows(excess))
    assert solution.max_violation == pytest.approx(0.99)
    assert solution.rows[0].name == "target[0]"
    assert all(row.violation > 0.5 for row in solution.violations(0.5))
    assert "worst violation target[0] at knot 20: 0.99" in str(solution)
    assert repr(solution) == f"Solution({solution})" and "\n" not in repr(solution)


def test_solution_adds_up(moved_block: Solution) -> None:
    assert moved_block.success
    assert moved_block.cost == pytest.approx(sum(moved_block.cost_terms.values()))
    assert moved_block.task_cost == moved_block.cost
    assert moved_block.max_violation <= 1e-7
    assert moved_block.data_distance is None
    assert set(moved_block.seconds) == {"build", "derivatives", "solver", "total"}
    assert moved_block.seconds["total"] >= moved_block.seconds["solver"] > 0.0
    assert str(moved_block).startswith("solved by Ipopt on DirectTranscription: cost 12.0")


def cartpole_plan() -> Solution:
    problem = cartpole_swing_up(horizon=15, time_step=0.05, initial_state=[0.2, 0.5, -0.1, 0.3])
    return solve(problem, SingleShooting(), GradientDescent(iterations=30))


def environment_step(state: FloatArray, control: FloatArray) -> FloatArray:
    env = CartPoleSwingUpEnv()
    env.reset(seed=0, options={"state": state})
    after = env.step(control.astype(np.float64))[0]
    return np.asarray(after, dtype=np.float64)


def test_plan_resimulated_in_the_real_environment_has_no_gap() -> None:
    plan = cartpole_plan()
    truth = plan.resimulate(environment_step)
    np.testing.assert_allclose(truth.trajectory.states, plan.trajectory.states, atol=1e-6)
    assert np.abs(truth.gap).max() <= 1e-6
    assert truth.cost_terms["upright"] == pytest.approx(plan.cost_terms["upright"], rel=1e-5)


def test_plan_resimulated_in_another_plant_has_a_gap() -> None:
    plan = cartpole_plan()
    heavy = CartPoleDynamics(CartPoleParameters(pole_mass=2.0))

    def plant(state: FloatArray, control: FloatArray) -> FloatArray:
        after: FloatArray = heavy(torch.tensor(state), torch.tensor(control)).numpy()
        return after

    truth = plan.resimulate(plant)
    assert not truth.gap[0].any()
    np.testing.assert_array_equal(truth.gap, truth.trajectory.states - plan.trajectory.states)
    assert np.abs(truth.gap[-1]).max() > 1e-2
    assert truth.cost_terms["force"] == pytest.approx(plan.cost_terms["force"], rel=1e-12)


def test_a_plant_that_works_in_place_is_resimulated_too() -> None:
    plan = cartpole_plan()
    before = plan.trajectory.states.copy()

    def plant(state: FloatArray, control: FloatArray) -> FloatArray:
        state += 0.1 * control
        control *= 0.0
        return state

    truth = plan.resimulate(plant).trajectory
    np.testing.assert_allclose(np.diff(truth.states, axis=0), 0.1 * truth.controls.repeat(4, axis=1), atol=1e-12)
    np.testing.assert_array_equal(truth.controls, plan.trajectory.controls)
    np.testing.assert_array_equal(plan.trajectory.states, before)


def test_plant_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"The plant returned a state of shape \(2,\) instead of \(4,\)"):
        cartpole_plan().resimulate(lambda state, control: state[:2])


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("plant", [lambda state: state, "plant", lambda state, control, time: state])
def test_what_is_no_function_of_state_and_control_is_no_plant(plant: Any) -> None:
    with pytest.raises(OptionError, match=r"must be a function of a state \(n,\) and a control \(m,\), or a model"):
        cartpole_plan().resimulate(plant)


@pytest.mark.parametrize("formulation", [SingleShooting(), DirectTranscription()], ids=lambda f: f.name)
def test_sample_holds_controls_and_joins_states(formulation: Formulation) -> None:
    solution = solve(block_move(), formulation, Ipopt())
    plan, step = solution.trajectory, 0.05
    states, controls = solution.sample(plan.times)
    np.testing.assert_allclose(states, plan.states, atol=1e-12)
    np.testing.assert_array_equal(controls[:-1], plan.controls)
    np.testing.assert_array_equal(controls[-1], plan.controls[-1])
    states, controls = solution.sample([3.25 * step])
    np.testing.assert_allclose(states[0], 0.75 * plan.states[3] + 0.25 * plan.states[4], atol=1e-12)
    np.testing.assert_array_equal(controls[0], plan.controls[3])
    assert solution.sample(0.3)[0].shape == (1, 2)


@pytest.mark.parametrize("time", [-0.01, 1.1, float("nan")])
def test_sample_outside_the_plan_is_refused(moved_block: Solution, time: float) -> None:
    with pytest.raises(OptionError, match=f"time {time} s lies outside the plan, which runs from 0 to 1"):
        moved_block.sample([0.5, time])


def test_constraint_rows_carry_the_name_of_their_term() -> None:
    problem: OptimalControlProblem = around_a_pillar()
    solution = solve(problem, DirectTranscription(), Ipopt(max_iterations=1))
    program = DirectTranscription().transcribe(problem, needs_value=True)
    rows = program.violated_rows(program.excess(np.zeros(program.size), problem.values()))
    assert {row.knot for row in rows if row.name == "pillar[0]"} == set(range(14))
    assert not solution.success
    assert solution.status.label == "iteration_limit"
