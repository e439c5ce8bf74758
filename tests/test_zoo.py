"""The problems of the zoo reach their known optima; their closed forms satisfy what defines them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.zoo import NAMES, ZOO, known
from tests.zoo.analytic import (
    GRAVITY,
    LQR_A,
    LQR_B,
    LQR_DURATION,
    LQR_END,
    LQR_Q,
    LQR_R,
    LQR_START,
    SLIDE_END,
    brachistochrone_time,
    regulator_gain,
    regulator_optimum,
)
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.solvers import Ipopt, solve

TOLERANCES = {
    "minimum time": 1e-6,
    "brachistochrone": 1e-6,
    "block move": 1e-8,
    "Bryson-Denham": 1e-6,
    "LQR": 1e-8,
    "obstacle": 2e-5,
    "Goddard rocket": 1e-5,
    "Van der Pol": 1e-5,
    "Kelly's cart-pole": 1e-5,
}
"""Relative errors on the coarse mesh with 3 Legendre points; of Goddard's rocket with 2 points on 80 intervals."""

EVERY_FORMULATION: list[Formulation] = [
    TrapezoidalCollocation(),
    HermiteSimpson(),
    OrthogonalCollocation(3, "radau"),
    OrthogonalCollocation(2, "legendre"),
    DirectTranscription(),
    MultipleShooting(5),
    SingleShooting(),
]


@pytest.mark.parametrize("name", [problem.name for problem in ZOO])
def test_an_accurate_formulation_finds_the_known_optimum(name: str) -> None:
    record = known(name)
    rocket = name == "Goddard rocket"
    problem = record.problem(80 if rocket else None)
    formulation = OrthogonalCollocation(2 if rocket else 3, "legendre")
    solution = solve(problem, formulation, Ipopt(tolerance=1e-10), guess=record.guess(problem))
    assert solution.success, solution
    assert record.relative_error(solution.cost) <= TOLERANCES[name]
    assert solution.max_violation <= 1e-6
    assert solution.kkt_residual().holds(1e-6)


@pytest.mark.parametrize("formulation", EVERY_FORMULATION, ids=lambda f: f.name)
@pytest.mark.parametrize("name", ["block move", "LQR", "brachistochrone"])
def test_every_formulation_comes_near_on_a_coarse_mesh(name: str, formulation: Formulation) -> None:
    record = known(name)
    problem = record.problem(20)
    solution = solve(problem, formulation, Ipopt(), guess=record.guess(problem))
    assert solution.success, solution
    assert record.relative_error(solution.cost) <= 1.2e-2
    assert solution.max_violation <= 1e-6


def test_formulations_agree_on_learned_dynamics() -> None:
    record = known(NAMES[-1])
    problem = record.problem()
    for formulation in (SingleShooting(), MultipleShooting(5), DirectTranscription()):
        solution = solve(problem, formulation, Ipopt(), guess=record.guess(problem))
        assert solution.success
        assert record.relative_error(solution.cost) <= 1e-5


def test_the_slide_of_the_closed_form_is_a_solution_of_the_equations() -> None:
    """Along the cycloid the angle from the vertical grows at the constant rate √(g / 4r)."""
    time = brachistochrone_time(*SLIDE_END)
    turn = np.linspace(1e-3, 2.0 * np.pi, 200001)
    end = turn[np.argmin(np.abs((turn - np.sin(turn)) / (1.0 - np.cos(turn) + 1e-300) - SLIDE_END[0] / SLIDE_END[1]))]
    rate = end / (2.0 * time)

    def slide(t: float, x: np.ndarray) -> list[float]:
        angle = rate * t
        return [x[2] * np.sin(angle), x[2] * np.cos(angle), GRAVITY * np.cos(angle)]

    reached = solve_ivp(slide, (0.0, time), np.zeros(3), rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(reached[:2], SLIDE_END, rtol=1e-3)


def test_gains_of_the_regulator_reach_its_optimum() -> None:
    """The cost of the closed loop u = -K(t) x, integrated along it, is ½ x_0' P(0) x_0."""

    def closed_loop(t: float, x: np.ndarray) -> np.ndarray:
        u = -regulator_gain(t) @ x[:2]
        rate: np.ndarray = LQR_A @ x[:2] + LQR_B @ u
        return np.append(rate, 0.5 * x[:2] @ LQR_Q @ x[:2] + 0.5 * u @ LQR_R @ u)

    end = solve_ivp(closed_loop, (0.0, LQR_DURATION), [*LQR_START, 0.0], rtol=1e-11, atol=1e-13).y[:, -1]
    assert end[2] + 0.5 * end[:2] @ LQR_END @ end[:2] == pytest.approx(regulator_optimum(), rel=1e-9)


def test_controls_of_the_regulator_are_its_gains_times_the_states() -> None:
    """At the middle of every interval, where there is a Legendre point."""
    record = known("LQR")
    problem = record.problem(20)
    solution = solve(problem, OrthogonalCollocation(3, "legendre"), Ipopt(tolerance=1e-11), guess=record.guess(problem))
    times = 0.5 * (solution.trajectory.times[:-1] + solution.trajectory.times[1:])
    states, controls = solution.sample(times)
    wanted = [-regulator_gain(t) @ x for t, x in zip(times, states, strict=True)]
    np.testing.assert_allclose(controls, wanted, atol=1e-5)
