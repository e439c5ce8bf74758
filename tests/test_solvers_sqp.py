"""SQP: known optima from coarse guesses, the optima of Ipopt, quadratic programs in a step, and settings."""

from typing import Any

import pytest

from tests.problems import around_a_pillar, block_move, cartpole_swing_up, linear_quadratic
from tests.zoo import known
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    OrthogonalCollocation,
    SingleShooting,
)
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers import SQP, Ipopt, prepare, solve
from trajopt_sgp.solvers.check import check_solver

PROBLEMS = {
    "bounded linear-quadratic": linear_quadratic(
        control_bounds=([-0.6, -0.3], [0.6, 0.3]), state_bounds=([-0.6, -2.0, -2.0], 2.0)
    ),
    "block": block_move(),
    "pillar": around_a_pillar(),
    "swing-up": cartpole_swing_up(horizon=10),
}


def test_sqp_keeps_the_promises_of_a_solver() -> None:
    check_solver(SQP())


@pytest.mark.parametrize(
    "formulation", [SingleShooting(), MultipleShooting(2), DirectTranscription()], ids=lambda f: f.name
)
@pytest.mark.parametrize("name", PROBLEMS)
def test_sqp_agrees_with_ipopt(name: str, formulation: Formulation) -> None:
    solution = solve(PROBLEMS[name], formulation, SQP())
    assert solution.status is Status.SOLVED
    assert solution.kkt_residual().holds(1e-6)
    assert solution.max_violation <= 1e-6
    assert solution.cost == pytest.approx(solve(PROBLEMS[name], formulation, Ipopt()).cost, rel=1e-6)


@pytest.mark.parametrize("formulation", [HermiteSimpson(), OrthogonalCollocation(3)], ids=lambda f: f.name)
@pytest.mark.parametrize("name", ["minimum time", "brachistochrone", "Kelly's cart-pole"])
def test_sqp_reaches_known_optima_from_coarse_guesses(name: str, formulation: Formulation) -> None:
    """Their dynamics are far from linear, their guesses violate them, and at first the Hessian is not convex."""
    record = known(name)
    problem = record.problem()
    solution = solve(problem, formulation, SQP(), guess=record.guess(problem))
    assert solution.status is Status.SOLVED
    assert solution.kkt_residual().holds(1e-6)
    assert record.relative_error(solution.cost) < 2e-5


@pytest.mark.parametrize("name", ["Van der Pol", "Goddard rocket", "learned cart-pole"])
def test_sqp_agrees_with_ipopt_in_shooting_from_coarse_guesses(name: str) -> None:
    record = known(name)
    problem = record.problem()
    found, expected = (
        solve(problem, SingleShooting(), solver, guess=record.guess(problem)) for solver in (SQP(), Ipopt())
    )
    assert found.status is Status.SOLVED
    assert found.cost == pytest.approx(expected.cost, rel=1e-6)


def test_sqp_at_the_optimum_without_multipliers_finds_them() -> None:
    """The merit no longer tells anything there; the conditions of optimality do."""
    record = known("minimum time")
    problem = record.problem()
    first = solve(problem, DirectTranscription(), SQP(), guess=record.guess(problem))
    again = solve(problem, DirectTranscription(), SQP(), guess=first.trajectory)
    assert again.status is Status.SOLVED
    assert again.iterations <= 3


@pytest.mark.parametrize("name", PROBLEMS)
def test_stagewise_quadratic_programs_lead_to_the_same_optimum(name: str) -> None:
    solution = solve(PROBLEMS[name], DirectTranscription(), SQP(qp_solver="hpipm"))
    assert solution.status is Status.SOLVED
    assert solution.kkt_residual().holds(1e-6)
    assert solution.cost == pytest.approx(solve(PROBLEMS[name], DirectTranscription(), Ipopt()).cost, rel=1e-6)


def test_stagewise_quadratic_programs_keep_the_promises_of_a_solver() -> None:
    """Also where rows contradict each other: elastic programs are no chains of stages, and go to another solver."""
    check_solver(SQP(qp_solver="hpipm"))


def test_stagewise_quadratic_programs_are_refused_where_there_are_no_stages() -> None:
    with pytest.raises(IncompatibleError, match="SQP with qp_solver='hpipm' does not work with SingleShooting"):
        prepare(block_move(), SingleShooting(), SQP(qp_solver="hpipm"))


@pytest.mark.parametrize("qp_solver", ["hpipm", "qrqp", "osqp", "qpoases"])
def test_a_convex_quadratic_program_takes_one_step(qp_solver: Any) -> None:
    solution = solve(linear_quadratic(), DirectTranscription(), SQP(qp_solver=qp_solver))
    assert solution.status is Status.SOLVED
    assert solution.iterations <= 3


def test_warm_start_at_the_solution_takes_no_step() -> None:
    prepared = prepare(around_a_pillar(), DirectTranscription(), SQP())
    again = prepared.solve(prepared.solve())
    assert again.status is Status.SOLVED
    assert again.iterations <= 2


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="SQP: max_iterations = 0; it must be a whole number"):
        SQP(max_iterations=0)
    for qp_solver in ("ipopt", "hpipm"):
        with pytest.raises(OptionError, match="SQP refused its options {'no_such_option': 1}"):
            prepare(block_move(), DirectTranscription(), SQP(qp_solver=qp_solver, options={"no_such_option": 1}))
