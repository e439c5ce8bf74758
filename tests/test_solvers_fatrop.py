"""Fatrop: the same optima as Ipopt, the conditions of optimality, warm starts, failures, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import around_a_pillar, block_move, cartpole_swing_up, linear_quadratic
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import (
    BoundaryConstraint,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    Status,
    TerminalConstraint,
    Trajectory,
)
from trajopt_sgp.solvers import Fatrop, Ipopt, prepare, solve
from trajopt_sgp.solvers.check import check_solver
from trajopt_sgp.solvers.fatrop import StagewiseDerivatives
from trajopt_sgp.solvers.stages import Structure

PROBLEMS = {
    "bounded linear-quadratic": linear_quadratic(
        control_bounds=([-0.6, -0.3], [0.6, 0.3]), state_bounds=([-0.6, -2.0, -2.0], 2.0)
    ),
    "block": block_move(),
    "pillar": around_a_pillar(),
    "swing-up": cartpole_swing_up(horizon=15),
}


def test_fatrop_keeps_the_promises_of_a_solver() -> None:
    check_solver(Fatrop())


@pytest.mark.parametrize("name", PROBLEMS)
def test_fatrop_agrees_with_ipopt(name: str) -> None:
    problem = PROBLEMS[name]
    solution = solve(problem, DirectTranscription(), Fatrop())
    reference = solve(problem, DirectTranscription(), Ipopt())
    assert solution.status is Status.SOLVED
    assert solution.kkt_residual().holds(1e-6)
    assert solution.max_violation <= 1e-6
    assert solution.cost == pytest.approx(reference.cost, rel=1e-6)
    assert solution.log


def test_derivatives_in_the_order_of_fatrop_are_those_of_the_program() -> None:
    program = prepare(PROBLEMS["pillar"], DirectTranscription(), Ipopt()).program
    structure = Structure(program, "Fatrop")
    staged = StagewiseDerivatives(program.assembly, structure)
    x = np.random.default_rng(0).normal(size=program.size)
    parameters = program.problem.values()
    rows, values = program.assembly.jacobian(x, parameters)
    staged_rows, staged_values = staged.jacobian(x, parameters)
    own = _dense(program.assembly.jacobian_pattern, values, program.assembly)
    other = _dense(staged.jacobian_pattern, staged_values, program.assembly)
    np.testing.assert_allclose(structure.own_rows(staged_rows), rows)
    np.testing.assert_allclose(other[structure.places] * structure.sign[:, None], own, atol=1e-15)
    np.testing.assert_array_equal(structure.own_rows(structure.rows(rows)), rows)


def _dense(pattern: Any, values: Any, assembly: Any) -> Any:
    matrix = np.zeros((assembly.row_count, assembly.size))
    matrix[pattern.rows, pattern.columns] = values
    return matrix


def test_contradictory_constraints_are_no_success() -> None:
    """The multipliers grow without bound: measured against them the violation would pass."""
    near, far = (
        TerminalConstraint(lambda state: state[..., :1], lower=[goal], upper=[goal], name=name)
        for goal, name in ((1.0, "near"), (2.0, "far"))
    )
    solution = solve(block_move(constraints=[near, far]), DirectTranscription(), Fatrop())
    assert not solution.success
    assert {row.name for row in solution.violations(1e-3)} >= {"near[0]", "far[0]"}


def test_nan_on_the_way_ends_the_solve_and_is_named() -> None:
    def cliff(state: Tensor, control: Tensor) -> Tensor:
        return -(0.3 - state[..., 0]).sqrt()

    guess = Trajectory(np.zeros((21, 2)), np.zeros((20, 1)), 0.05)
    solution = solve(block_move(stage_costs=[cliff]), DirectTranscription(), Fatrop(), guess)
    assert solution.status is Status.NOT_FINITE
    assert "The stage cost 'cliff' is NaN or infinite at knot" in solution.log[-1]["not_finite"]
    assert np.isfinite(solution.trajectory.states).all()


def test_what_a_users_function_raises_reaches_the_user() -> None:
    calls = []

    def fragile(state: Tensor, control: Tensor) -> Tensor:
        calls.append(float(state.detach().sum()))  # what reads numbers is called every time, not traced
        if len(calls) > 12:
            raise ZeroDivisionError("the user's own mistake")
        return control.square().sum(-1)

    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        solve(block_move(stage_costs=[fragile]), DirectTranscription(), Fatrop())


def joined(first: Tensor, last: Tensor) -> Tensor:
    return last - first


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            block_move(constraints=[BoundaryConstraint(joined, upper=1.0, name="joined")]),
            "'joined', which joins several knots",
        ),
        (
            around_a_pillar(
                constraints=[
                    StageConstraint(
                        lambda x, u: x.square().sum(-1, keepdim=True), lower=0.25, soft=Penalty(1.0), name="soft"
                    )
                ]
            ),
            "soft constraints, whose slack is no control",
        ),
        (block_move(move_blocks=[2] * 10), "move_blocks, whose controls join several knots"),
    ],
)
def test_what_is_no_chain_of_stages_is_refused(problem: OptimalControlProblem, message: str) -> None:
    with pytest.raises(IncompatibleError, match=message):
        prepare(problem, DirectTranscription(), Fatrop())


def test_other_formulations_are_refused() -> None:
    with pytest.raises(
        IncompatibleError, match=r"does not work with SingleShooting\. Fatrop solves DirectTranscription"
    ):
        prepare(block_move(), SingleShooting(), Fatrop())


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="Fatrop: max_iterations = 0; it must be a whole number"):
        Fatrop(max_iterations=0)
    assert Fatrop.precision is torch.float64


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_a_warm_start_is_solved_at_once(name: str) -> None:
    problem = PROBLEMS[name]
    first = solve(problem, DirectTranscription(), Fatrop())
    again = solve(problem, DirectTranscription(), Fatrop(), first)
    assert again.status is Status.SOLVED
    assert again.iterations <= first.iterations
    assert again.cost == pytest.approx(first.cost, rel=1e-6)


def test_every_step_of_a_controller_is_solved() -> None:
    controller = MPC(PROBLEMS["swing-up"], DirectTranscription(), Fatrop(tolerance=1e-6))
    state = np.asarray(PROBLEMS["swing-up"].start)
    for _ in range(4):
        controller.step(state)
        assert [solution.status for solution in controller.solutions] == [Status.SOLVED]
        assert controller.plan is not None
        state = controller.plan.states[0, 1]
