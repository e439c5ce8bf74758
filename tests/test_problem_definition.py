"""What a problem accepts, and the sentence with which it refuses the rest."""

import functools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import LQ_DYNAMICS, LQ_START, cartpole_swing_up, linear_quadratic, lq_cost, lq_terminal
from trajopt_sgp.data import points_as_transitions
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError, TrajoptError
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.formulations.scaling import state_scale
from trajopt_sgp.problem import (
    Box,
    ControlRateCost,
    ControlRateLimit,
    LeastSquaresCost,
    OptimalControlProblem,
    StageConstraint,
    StageCost,
    Status,
    TerminalConstraint,
    TerminalCost,
    TimeVarying,
    Trajectory,
    TrajectoryCost,
)
from trajopt_sgp.problem.probing import count_rows
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance


def rows_of_two(state: Tensor, control: Tensor) -> Tensor:
    return state[..., :2]


def whole_sum(state: Tensor, control: Tensor) -> Tensor:
    return state.square().sum()


def second_dimension(state: Tensor, control: Tensor) -> Tensor:
    """Right for states (K, n), silently wrong for batches of plans."""
    return state[:, 0] ** 2 if state.ndim == 2 else state[:, 0].square()


def number(state: Tensor, control: Tensor) -> Any:
    return 1.0


def kept_dimension(state: Tensor) -> Tensor:
    return state.square().sum(-1, keepdim=True)


REFUSED: dict[str, tuple[dict[str, Any], type[TrajoptError], str]] = {
    "horizon 0": ({"horizon": 0}, OptionError, "horizon = 0: it must be a whole number of intervals, at least 1."),
    "horizon True": ({"horizon": True}, OptionError, "horizon = True"),
    "time step": ({"time_step": 0.0}, OptionError, "time_step = 0.0: it must be a positive number of seconds."),
    "infinite time step": ({"time_step": float("inf")}, OptionError, "time_step = inf"),
    "start of wrong size": (
        {"initial_state": [0.0]},
        ShapeError,
        "initial_state has shape (1,); this problem needs (3,).",
    ),
    "start NaN": ({"initial_state": [0.0, np.nan, 0.0]}, NotFiniteError, "initial_state must be finite"),
    "control bounds crossed": (
        {"control_bounds": ([-1.0, 2.0], [1.0, 1.0])},
        OptionError,
        "control_bounds: the lower bound 2.0 of u[1] is above the upper, 1.0.",
    ),
    "state bounds crossed": (
        {"state_bounds": (1.0, -1.0)},
        OptionError,
        "state_bounds: the lower bound 1.0 of x[0]",
    ),
    "bounds of wrong size": (
        {"control_bounds": ([-1.0] * 3, 1.0)},
        ShapeError,
        "control_bounds: the lower bound has shape (3,); give a number or (2,).",
    ),
    "bounds NaN": ({"state_bounds": (-1.0, np.nan)}, NotFiniteError, "state_bounds: the upper bound holds NaN"),
    "cost of a whole batch": (
        {"stage_costs": [whole_sum]},
        ShapeError,
        "The stage cost 'whole_sum' returned shape () for leading dimensions (2, 6); it must return (2, 6)",
    ),
    "cost of one leading dimension": (
        {"stage_costs": [second_dimension]},
        ShapeError,
        "The stage cost 'second_dimension' returned shape (2, 3)",
    ),
    "cost that is no tensor": (
        {"stage_costs": [StageCost(number, name="effort")]},
        ShapeError,
        "The stage cost 'effort' returned float; it must return a torch tensor.",
    ),
    "terminal cost of wrong shape": (
        {"terminal_costs": [TerminalCost(kept_dimension, name="goal")]},
        ShapeError,
        "The terminal cost 'goal' returned shape (2, 6, 1)",
    ),
    "constraint without rows": (
        {"constraints": [TerminalConstraint(lq_terminal, upper=0.0, name="goal")]},
        ShapeError,
        "The constraint 'goal' returned (2, 6) for leading dimensions (2, 6); it must return rows",
    ),
    "constraint bounds crossed": (
        {"constraints": [StageConstraint(rows_of_two, lower=[0.0, 3.0], upper=2.0, name="corridor")]},
        OptionError,
        "The constraint 'corridor' has lower bound 3.0 above upper bound 2.0 in row 1.",
    ),
    "constraint bounds NaN": (
        {"constraints": [StageConstraint(rows_of_two, upper=float("nan"), name="corridor")]},
        NotFiniteError,
        "The bounds of constraint 'corridor' hold NaN",
    ),
    "constraint bounds of wrong size": (
        {"constraints": [StageConstraint(rows_of_two, upper=[1.0, 2.0, 3.0], name="corridor")]},
        ShapeError,
        "The bounds of constraint 'corridor' do not fit its 2 rows.",
    ),
    "two terms of one name": (
        {"stage_costs": [lq_cost, StageCost(lq_cost, name="lq_terminal")]},
        OptionError,
        "'lq_terminal' is the name of two terms: give each term a name= of its own.",
    ),
    "name of the library": (
        {"stage_costs": [StageCost(lq_cost, name="defect")]},
        OptionError,
        "'defect' is a name the library uses: give each term a name= of its own.",
    ),
    "labels": ({"state_names": ["a"]}, ShapeError, "state_names lists 1 names; this problem needs 3."),
    "label given twice": (
        {"state_names": ["a", "b", "a"]},
        OptionError,
        "state_names lists 'a' more than once; each needs a name of its own.",
    ),
    "final state outside its bounds": (
        {"final_state": {"x[2]": 5.0}, "state_bounds": (-2.0, 2.0)},
        OptionError,
        "final_state: x[2] = 5.0 is outside its bounds, -2.0 to 2.0.",
    ),
    "start of words": ({"initial_state": "zero"}, OptionError, "initial_state = 'zero': give a number or a vector"),
    "bounds that are a number": (
        {"control_bounds": 5},
        OptionError,
        "control_bounds = 5: give a pair (lower, upper), each a number, a vector, or None for no bound.",
    ),
    "bounds of three": ({"state_bounds": (-1, 0, 1)}, OptionError, "state_bounds = (-1, 0, 1): give a pair"),
    "bounds in pairs": (
        {"control_bounds": [(-1.0, 1.0), (-1.0, 1.0)]},
        OptionError,
        "control_bounds = [(-1.0, 1.0), (-1.0, 1.0)] leaves every coordinate one value only: give a pair (lower, ",
    ),
    "constraint without bounds": (
        {"constraints": [StageConstraint(rows_of_two, name="corridor")]},
        OptionError,
        "The constraint 'corridor' has no bounds: give lower=, upper=, or both.",
    ),
    "limit of change below zero": (
        {"constraints": [ControlRateLimit(-1.0)]},
        OptionError,
        "control_rate_limit: lower = [1. 1.] lies above upper = [-1. -1.]",
    ),
    "limit of change NaN": (
        {"constraints": [ControlRateLimit(float("nan"))]},
        NotFiniteError,
        "upper of 'control_rate_limit' must be finite",
    ),
    "start of vectors": (
        {"initial_state": {"x[0]": [1.0, 2.0]}},
        ShapeError,
        "initial_state: x[0] = [1.0, 2.0]: it must be one number.",
    ),
    "cost that raises": (
        {"stage_costs": [StageCost(lambda x, u: x[..., 7].square(), name="far")]},
        OptionError,
        "The stage cost 'far' could not be computed for arguments (2, 6, 3), (2, 6, 2) of float64: IndexError",
    ),
    "cost that takes more": (
        {"terminal_costs": [TerminalCost(lambda x, goal: (x - goal).square().sum(-1), name="aim")]},
        OptionError,
        "The terminal cost 'aim' could not be computed for arguments (2, 6, 3) of float64: TypeError",
    ),
    "unit of zero": ({"state_scale": 0.0}, OptionError, "state_scale must be positive, not [0. 0. 0.]."),
    "unit below zero": ({"control_scale": [1.0, -1.0]}, OptionError, "control_scale must be positive, not [ 1. -1.]."),
    "unit NaN": ({"state_scale": np.nan}, NotFiniteError, "state_scale must be finite, not nan."),
    "parameter called as the control before": (
        {"parameters": {"previous_control": [0.0, 0.0]}},
        OptionError,
        "parameters: the name 'previous_control' is reserved",
    ),
    "parameter called as a weight": (
        {"parameters": {"lq_cost.weight": 2.0}},
        OptionError,
        "parameters: the name 'lq_cost.weight' is reserved",
    ),
    "cost outside a list": ({"stage_costs": lq_cost}, OptionError, "it must be a list; write [...] around a single"),
    "constraint outside a list": (
        {"constraints": StageConstraint(rows_of_two, upper=1.0)},
        OptionError,
        "it must be a list; write [...] around a single",
    ),
}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("case", REFUSED)
def test_bad_problems_are_refused(case: str) -> None:
    changes, kind, message = REFUSED[case]
    with pytest.raises(kind, match=re.escape(message)):
        linear_quadratic(**changes)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "heavy"])
def test_a_weight_that_is_no_finite_number_is_refused(weight: Any) -> None:
    for kind in (StageCost, LeastSquaresCost, TerminalCost, TrajectoryCost):
        with pytest.raises(OptionError, match=f"effort.weight = {weight!r}: it must be a finite number"):
            kind(lq_cost, weight, name="effort")
    with pytest.raises(OptionError, match="it must be a finite number"):
        ControlRateCost(weight)
    with pytest.raises(OptionError, match=f"lq_cost.weight = {weight!r}: it must be a finite number"):
        linear_quadratic().values(changes={"lq_cost.weight": weight})


def test_dynamics_of_wrong_shape_are_refused() -> None:
    class Flat:
        state_size, control_size = 3, 2

        def __call__(self, state: Tensor, control: Tensor) -> Tensor:
            return state[..., 0]

    with pytest.raises(ShapeError, match=r"The dynamics returned shape \(2, 6\).*it must return \(2, 6, 3\)"):
        linear_quadratic(dynamics=Flat())


def test_functions_without_a_name_are_called_after_their_role() -> None:
    def effort(x: Tensor, u: Tensor) -> Tensor:
        return u.square().sum(-1)

    problem = OptimalControlProblem(
        dynamics=LQ_DYNAMICS,
        horizon=3,
        initial_state=LQ_START,
        stage_costs=[lambda x, u: x.square().sum(-1), effort, functools.partial(effort), lambda x, u: x[..., 0]],
        terminal_costs=[lambda x: x.square().sum(-1)],
    )
    assert [term.name for term in problem.stage_terms] == ["stage_cost", "effort", "stage_cost_2", "stage_cost_3"]
    assert [term.name for term in problem.terminal_terms] == ["terminal_cost"]
    mixed = problem.replaced(stage_costs=[lambda x, u: x[..., 0], StageCost(effort)])
    assert [term.name for term in mixed.stage_terms] == ["stage_cost_2", "stage_cost"]


def test_labels_bounds_and_names_are_filled_in() -> None:
    problem = linear_quadratic(state_bounds=([-1.0, -np.inf, 0.0], np.inf))
    assert problem.state_labels == ("x[0]", "x[1]", "x[2]")
    assert problem.control_labels == ("u[0]", "u[1]")
    assert problem.state_box.bounded
    np.testing.assert_array_equal(problem.state_box.lower, [-1.0, -np.inf, 0.0])
    assert not linear_quadratic(control_bounds=None).control_box.bounded
    assert [term.name for term in problem.stage_terms] == ["lq_cost"]
    with pytest.raises(ValueError, match="read-only"):
        problem.start[0] = 1.0


def test_a_problem_is_printed_in_one_line() -> None:
    problem = linear_quadratic(constraints=[StageConstraint(rows_of_two, upper=1.0, name="corridor")], name="regulator")
    assert repr(problem) == (
        "OptimalControlProblem('regulator', horizon=12, 3 states, 2 controls, costs=['lq_cost', 'lq_terminal'], "
        "constraints=['corridor'])"
    )


def test_bounds_may_be_the_rows_of_an_array_or_open_on_a_side() -> None:
    box = linear_quadratic(control_bounds=np.array([[-1.0, -2.0], [3.0, 4.0]])).control_box
    np.testing.assert_array_equal([box.lower, box.upper], [[-1.0, -2.0], [3.0, 4.0]])
    box = linear_quadratic(control_bounds=(None, [3.0, 4.0])).control_box
    np.testing.assert_array_equal([box.lower, box.upper], [[-np.inf, -np.inf], [3.0, 4.0]])


def test_bounds_open_on_a_side_tell_the_sizes_of_a_problem_without_dynamics() -> None:
    problem = OptimalControlProblem(
        dynamics=None, horizon=2, initial_state=None, state_bounds=(None, [1.0, 1.0]), control_bounds=([-1.0], None)
    )
    assert (problem.state_size, problem.control_size) == (2, 1)


def test_ends_may_lie_on_their_bounds_and_the_start_beyond_them() -> None:
    problem = linear_quadratic(
        initial_state=[5.0, 0.0, 0.0], final_state=[0.1 + 0.2, 0.0, -0.3], state_bounds=(-0.3, 0.3)
    )
    np.testing.assert_array_equal(problem.start, [5.0, 0.0, 0.0])


@pytest.mark.usefixtures("unchecked_types")
def test_counts_may_be_numbers_of_numpy() -> None:
    problem = linear_quadratic(horizon=np.int64(12), move_blocks=np.array([4, 8]))
    assert (type(problem.horizon), problem.horizon, problem.move_blocks) == (int, 12, (4, 8))


def test_arrays_of_the_caller_may_change_afterwards() -> None:
    start, low, unit, goal, path = np.ones(3), -np.ones(2), np.ones(3), np.ones(3), np.ones((13, 1))
    problem = linear_quadratic(
        initial_state=start,
        control_bounds=(low, 1.0),
        state_scale=unit,
        parameters={"goal": goal, "path": TimeVarying(path)},
    )
    for array in (start, low, unit, goal, path):
        array[...] = -9.0
    for same in (problem, problem.replaced(name="again")):
        np.testing.assert_array_equal(same.start, 1.0)
        np.testing.assert_array_equal(same.control_box.lower, -1.0)
        np.testing.assert_array_equal(state_scale(same), 1.0)
        assert all((value == 1.0).all() for value in same.values().values.values())


def test_middle_of_a_box_lies_within_it() -> None:
    box = Box("box", np.array([-np.inf, 2.0, -4.0, -np.inf]), np.array([np.inf, np.inf, -1.0, -3.0]))
    np.testing.assert_array_equal(box.middle(), [0.0, 2.0, -2.5, -3.0])
    np.testing.assert_array_equal(box.clip(np.array([7.0, 0.0, 0.0, 0.0])), [7.0, 2.0, -1.0, -3.0])


def test_a_changed_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(OptionError, match="A problem has no 'horizn'; choose from dynamics, horizon, initial_state"):
        linear_quadratic().replaced(horizn=3)


@pytest.mark.parametrize(
    ("name", "value"), [("squares.weight", -1.0), ("data_distance.weight", -5.0), ("data_distance.sigma", 50.0)]
)
def test_numbers_that_a_term_cannot_have_are_refused_in_every_solve(name: str, value: float) -> None:
    problem = linear_quadratic()
    model = ExactSmoothedDistance(points_as_transitions(np.random.default_rng(0).normal(size=(40, 5)), "cloud", 2))
    problem = problem.replaced(
        stage_costs=[LeastSquaresCost(lambda x, u: x, name="squares"), DataDistance(model, sigma=0.3)]
    )
    with pytest.raises(OptionError, match=name.split(".")[0]):
        problem.values(changes={name: value})
    with pytest.raises(OptionError, match=r"squares.weight = -1.0: it must not be negative"):
        LeastSquaresCost(lambda x, u: x, weight=-1.0, name="squares")


def test_replaced_problem_is_checked_anew() -> None:
    problem = linear_quadratic()
    assert problem.replaced(horizon=3).horizon == 3
    with pytest.raises(OptionError, match="horizon = 0"):
        problem.replaced(horizon=0)


def test_costs_of_a_trajectory_by_term() -> None:
    problem = linear_quadratic(terminal_costs=[TerminalCost(lq_terminal, weight=2.0)])
    rng = np.random.default_rng(0)
    trajectory = Trajectory(rng.normal(size=(13, 3)), rng.normal(size=(12, 2)), 0.1)
    program = DirectTranscription().transcribe(problem, needs_value=True)
    terms = program.cost_terms(trajectory, problem.values())
    pairs = zip(trajectory.states[:-1], trajectory.controls, strict=True)
    expected = sum(0.5 * (x @ np.diag([1.0, 0.5, 0.2]) @ x + u @ np.diag([0.3, 0.6]) @ u) for x, u in pairs)
    assert terms["lq_cost"] == pytest.approx(expected, rel=1e-13)
    last = trajectory.states[-1]
    assert terms["terminal_cost"] == pytest.approx(last @ np.diag([5.0, 4.0, 3.0]) @ last, rel=1e-13)


def test_rows_of_a_constraint_are_counted() -> None:
    problem = linear_quadratic(constraints=[StageConstraint(rows_of_two, upper=9.0)])
    assert count_rows(problem, problem.constraint_terms[0]) == 2


def test_precision_follows_the_dynamics() -> None:
    assert cartpole_swing_up().dtype == torch.float64
    assert OptimalControlProblem(dynamics=LQ_DYNAMICS, horizon=1, initial_state=LQ_START).dtype == torch.float64


# --- trajectories -----------------------------------------------------------------------------------------------------


def ramp(horizon: int = 4) -> Trajectory:
    knots = np.arange(horizon + 1.0)
    return Trajectory(np.stack([knots, -knots], axis=1), 10.0 * knots[:-1, None], time_step=0.5)


def test_trajectory_times_and_horizon() -> None:
    assert ramp().horizon == 4
    np.testing.assert_array_equal(ramp().times, [0.0, 0.5, 1.0, 1.5, 2.0])


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
def test_shift_drops_the_first_intervals_and_repeats_the_last(steps: int) -> None:
    shifted = ramp().shift(steps)
    assert shifted.time_step == 0.5
    np.testing.assert_array_equal(shifted.states[:, 0], np.minimum(np.arange(5.0) + steps, 4.0))
    np.testing.assert_array_equal(shifted.controls[:, 0], 10.0 * np.minimum(np.arange(4.0) + steps, 3.0))


def test_shift_of_a_batch_is_that_of_its_members() -> None:
    batch = Trajectory(np.stack([ramp().states, 2.0 * ramp().states]), np.stack([ramp().controls] * 2))
    np.testing.assert_array_equal(batch.shift(2).states[1], 2.0 * ramp().shift(2).states)
    np.testing.assert_array_equal(batch.select(1).states, 2.0 * ramp().states)


def meshed_ramp() -> Trajectory:
    """States t and -t, controls 10 t, at knots 0, 0.2, 0.6, 1, 2."""
    mesh = np.array([0.0, 0.1, 0.3, 0.5, 1.0])
    knots = 2.0 * mesh
    return Trajectory(np.stack([knots, -knots], axis=1), 10.0 * knots[:-1, None], time_step=0.5, mesh=mesh)


def test_shift_on_a_mesh_moves_on_in_time_under_the_same_knots() -> None:
    plan = meshed_ramp()
    shifted = plan.shift()
    np.testing.assert_array_equal(shifted.times, plan.times)
    np.testing.assert_allclose(shifted.states[:, 0], np.minimum(plan.times + 0.2, 2.0), atol=1e-12)
    # at 0.2, 0.4, 0.8 and 1.2 the intervals from 0.2, 0.2, 0.6 and 1 hold theirs
    np.testing.assert_allclose(shifted.controls[:, 0], [2.0, 2.0, 6.0, 10.0], atol=1e-12)
    np.testing.assert_allclose(plan.shift(0).states, plan.states, atol=1e-12)


def test_states_at_other_knots_are_those_of_their_times() -> None:
    single, mesh = meshed_ramp(), np.array([0.0, 0.2, 0.9, 1.0])
    batch = replace(
        single,
        states=np.stack([single.states, 2.0 * single.states]),
        controls=single.controls[[0, 0]][:, None].repeat(4, 1),
    )
    np.testing.assert_allclose(single.states_at(mesh)[:, 0], 2.0 * mesh, atol=1e-12)
    np.testing.assert_allclose(batch.states_at(mesh)[1, :, 1], -4.0 * mesh, atol=1e-12)
    np.testing.assert_array_equal(single.states_at(np.array([0.0, 0.1, 0.3, 0.5, 1.0])), single.states)


@pytest.mark.parametrize("steps", [-1, 5])
def test_shift_beyond_the_trajectory_is_refused(steps: int) -> None:
    with pytest.raises(OptionError, match=f"steps = {steps}: a trajectory of 4 intervals can"):
        ramp().shift(steps)


@pytest.mark.parametrize(
    ("states", "controls"), [((5, 2), (5, 1)), ((5,), (4,)), ((2, 5, 2), (3, 4, 1)), ((2, 5, 2), (4, 1))]
)
def test_trajectory_of_wrong_shape_is_refused(states: tuple[int, ...], controls: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="A trajectory"):
        Trajectory(np.zeros(states), np.zeros(controls))


def test_trajectory_says_where_it_is_not_finite() -> None:
    controls = ramp().controls.copy()
    controls[2, 0] = np.inf
    with pytest.raises(NotFiniteError, match=r"The guess is not finite: control\[0\] at knot 2"):
        Trajectory(ramp().states, controls).check_finite("guess")
    assert ramp().check_finite("guess").horizon == 4


def test_status_says_what_to_do_next() -> None:
    assert {status for status in Status if status.ok} == {Status.SOLVED, Status.CONVERGED, Status.ACCEPTABLE}
    assert Status.TIME_LIMIT.label == "time_limit"
    assert all(status.value.endswith(".") and ":" in status.value for status in Status)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        (5, r"move_blocks = 5: give .* in a list, as \[5, 5, 2\], which adds up to the horizon"),
        (2.5, r"move_blocks = 2.5: give .* as \[12\]"),
        (["5", 7], "must be whole numbers of intervals"),
    ],
)
def test_blocks_of_moves_in_another_form_are_told_theirs(blocks: Any, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        linear_quadratic(move_blocks=blocks)
