"""SciPy's methods: the optima of Ipopt, multipliers, limits, and programs that a method cannot handle."""

from typing import Any

import pytest

from tests.problems import around_a_pillar, block_move, linear_quadratic, riccati
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import DirectTranscription, Formulation, MultipleShooting, SingleShooting
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers import Ipopt, Scipy, prepare, solve
from trajopt_sgp.solvers.check import check_solver

PROBLEMS = {
    "bounded linear-quadratic": linear_quadratic(control_bounds=([-0.6, -0.3], [0.6, 0.3])),
    "block": block_move(horizon=10),
}


def test_slsqp_keeps_the_promises_of_a_solver() -> None:
    check_solver(Scipy(method="SLSQP"))


def test_lbfgsb_keeps_the_promises_of_a_solver() -> None:
    check_solver(Scipy(method="L-BFGS-B"), SingleShooting())


@pytest.mark.parametrize(
    "formulation", [SingleShooting(), MultipleShooting(2), DirectTranscription()], ids=lambda f: f.name
)
@pytest.mark.parametrize("method", ["trust-constr", "SLSQP"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_scipy_agrees_with_ipopt(name: str, method: Any, formulation: Formulation) -> None:
    solution = solve(PROBLEMS[name], formulation, Scipy(method=method))
    assert solution.success
    assert solution.max_violation <= 1e-6
    assert solution.cost == pytest.approx(solve(PROBLEMS[name], formulation, Ipopt()).cost, rel=1e-4)


def test_slsqp_goes_around_the_pillar() -> None:
    solution = solve(around_a_pillar(), DirectTranscription(), Scipy(method="SLSQP"))
    assert solution.status is Status.SOLVED
    assert solution.kkt_residual().holds(1e-6)


def test_bounded_quasi_newton_reaches_the_riccati_optimum() -> None:
    solution = solve(linear_quadratic(), SingleShooting(), Scipy(method="L-BFGS-B"))
    assert solution.success
    assert solution.cost == pytest.approx(riccati()[0], rel=1e-8)


def test_bounded_quasi_newton_refuses_rows() -> None:
    with pytest.raises(
        IncompatibleError, match=r"L-BFGS-B handles bounds .* DirectTranscription has constraints such as"
    ):
        prepare(linear_quadratic(), DirectTranscription(), Scipy(method="L-BFGS-B"))


@pytest.mark.parametrize("method", ["trust-constr", "SLSQP"])
def test_time_limit_is_honoured(method: Any) -> None:
    prepared = prepare(around_a_pillar(), DirectTranscription(), Scipy(method=method))
    solution = prepared.solve(time_limit=1e-3)
    assert solution.status is Status.TIME_LIMIT
    assert solution.iterations <= 1


def test_iteration_limit_is_a_status() -> None:
    solution = solve(around_a_pillar(), DirectTranscription(), Scipy(max_iterations=3))
    assert not solution.success


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="Scipy: max_iterations = 0; it must be a whole number"):
        Scipy(max_iterations=0)
    with pytest.raises(OptionError, match="Scipy refused its options"):
        solve(block_move(), DirectTranscription(), Scipy(method="SLSQP", options={"no_such_option": 1}))
    with pytest.raises(OptionError, match="belong to a method: name it"):
        Scipy(options={"maxls": 3})


def test_the_default_goes_on_where_slsqp_ends_short_of_an_optimum() -> None:
    problem = PROBLEMS["bounded linear-quadratic"]
    solution = solve(problem, DirectTranscription(), Scipy(max_iterations=4))
    alone = solve(problem, DirectTranscription(), Scipy(method="SLSQP", max_iterations=4))
    assert solution.iterations > alone.iterations
    assert [attempt.method for attempt in Scipy().attempts(10)] == ["SLSQP", "trust-constr", "SLSQP"]
    assert Scipy().attempts(100_000) == (Scipy(method="trust-constr"),)
