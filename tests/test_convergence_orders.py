"""Orders of convergence, from the slope of log-error against log-step."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.models.integrators import ORDERS
from trajopt_sgp.problem import (
    ContinuousDynamics,
    OptimalControlProblem,
    Parameters,
    Solution,
    StageCost,
    TimeVarying,
    Trajectory,
)
from trajopt_sgp.solvers import Ipopt, line_guess, solve

DURATION = 2.0


def pendulum(state: Tensor, control: Tensor) -> Tensor:
    return torch.stack([state[..., 1], -state[..., 0].sin() + control[..., 0]], dim=-1)


def running(state: Tensor, control: Tensor) -> Tensor:
    angle, rate = state.unbind(-1)
    return (1.0 - angle.cos()) + 0.5 * rate.square() + 0.5 * control[..., 0].square() * (1.0 + 0.5 * angle.square())


def at_rest(state: Tensor) -> Tensor:
    return state.square().sum(-1)


def damped_pendulum(horizon: int) -> OptimalControlProblem:
    """A smooth nonlinear problem; its bounds are far away."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(pendulum, 2, 1),
        horizon=horizon,
        duration=DURATION,
        initial_state=[1.0, 0.0],
        stage_costs=[StageCost(running, integral=True)],
        terminal_costs=[at_rest],
        control_bounds=(-50.0, 50.0),
        control_scale=1.0,
    )


def accurately(horizon: int, formulation: Formulation) -> Solution:
    problem = damped_pendulum(horizon)
    guess = Trajectory(np.tile(problem.start, (horizon + 1, 1)), np.zeros((horizon, 1)), problem.time_step or 1.0)
    solution = solve(problem, formulation, Ipopt(tolerance=1e-11), guess=guess)
    assert solution.success, solution
    return solution


@cache
def reference() -> float:
    return accurately(60, OrthogonalCollocation(5, "legendre")).cost


def slopes(horizons: Sequence[int], errors: Sequence[float]) -> FloatArray:
    """Return the order of convergence between each two neighbouring meshes."""
    order: FloatArray = -np.diff(np.log(errors)) / np.diff(np.log(np.array(horizons, dtype=np.float64)))
    return order


# --- integrators ------------------------------------------------------------------------------------------------------


def integration_error(integrator: str, steps: int) -> float:
    """Return the error at the end under a control that is a fixed smooth function of the state and of time."""

    def swing(state: Tensor, control: Tensor) -> Tensor:
        angle, rate, time = state.unbind(-1)
        force = (3.0 * time).sin() * control[..., 0]
        return torch.stack([rate, -angle.sin() + force, torch.ones_like(time)], dim=-1)

    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(swing, 3, 1), horizon=1, initial_state=[1.0, 0.0, 0.0], duration=DURATION
    )
    stepper = Stepper(problem, integrator, steps)
    state = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    control, span = torch.ones((1, 1), dtype=torch.float64), torch.tensor([DURATION], dtype=torch.float64)
    end = stepper.advance(state, control, span, (Parameters(state), Parameters(state)))[0].numpy()
    truth = solve_ivp(
        lambda t, x: [x[1], -np.sin(x[0]) + np.sin(3.0 * t)], (0.0, DURATION), [1.0, 0.0], rtol=1e-13, atol=1e-13
    )
    return float(np.linalg.norm(end[:2] - truth.y[:, -1]))


@pytest.mark.parametrize(("integrator", "order"), ORDERS.items())
def test_integrators_have_their_order(integrator: str, order: int) -> None:
    steps = [40, 80, 160]
    found = slopes(steps, [integration_error(integrator, count) for count in steps])
    np.testing.assert_allclose(found, order, atol=0.2)


# --- formulations -----------------------------------------------------------------------------------------------------

CASES: list[tuple[Formulation, float, float, Sequence[int]]] = [
    (TrapezoidalCollocation(), 2.0, 0.2, (20, 40, 80)),
    (HermiteSimpson(), 4.0, 0.3, (8, 16, 32)),
    (OrthogonalCollocation(1, "radau"), 1.0, 0.35, (20, 40, 80)),
    (OrthogonalCollocation(2, "radau"), 3.0, 0.35, (4, 8, 16)),
    (OrthogonalCollocation(3, "radau"), 5.0, 0.35, (4, 8, 16)),
    (OrthogonalCollocation(1, "legendre"), 2.0, 0.35, (20, 40, 80)),
    (OrthogonalCollocation(2, "legendre"), 4.0, 0.35, (6, 12, 24)),
    (OrthogonalCollocation(3, "legendre"), 6.0, 0.35, (4, 6, 8)),
]


def name_of(value: object) -> str | None:
    return repr(value) if isinstance(value, Formulation) else None


@pytest.mark.parametrize(("formulation", "order", "tolerance", "horizons"), CASES, ids=name_of)
def test_the_objective_converges_with_the_order_of_the_scheme(
    formulation: Formulation, order: float, tolerance: float, horizons: Sequence[int]
) -> None:
    errors = [abs(accurately(horizon, formulation).cost - reference()) for horizon in horizons]
    np.testing.assert_allclose(slopes(horizons, errors), order, atol=tolerance)


MESHES: list[Formulation] = [
    TrapezoidalCollocation(),
    HermiteSimpson(),
    OrthogonalCollocation(2, "radau"),
    OrthogonalCollocation(3, "legendre"),
    DirectTranscription("euler"),
    DirectTranscription("midpoint"),
    DirectTranscription("rk4"),
    MultipleShooting(4),
]


@pytest.mark.parametrize("formulation", MESHES, ids=name_of)
def test_the_mesh_error_falls_with_its_order(formulation: Formulation) -> None:
    horizons = (20, 40)
    errors = [float(accurately(horizon, formulation).mesh_error.max()) for horizon in horizons]
    np.testing.assert_allclose(slopes(horizons, errors), formulation.mesh_error_order, atol=0.35)


@pytest.mark.parametrize(
    ("formulation", "order"),
    [
        (TrapezoidalCollocation(), 3.0),
        (HermiteSimpson(), 4.0),
        (OrthogonalCollocation(2, "radau"), 3.0),
        (OrthogonalCollocation(3, "legendre"), 4.0),
        (DirectTranscription(), 4.0),
    ],
    ids=name_of,
)
def test_the_mesh_error_falls_with_the_order_of_the_polynomials(formulation: Formulation, order: float) -> None:
    """States of degree q between the knots are off by a multiple of the step to the power q + 1."""
    horizons = [10, 20, 40]
    errors = [float(accurately(horizon, formulation).mesh_error.max()) for horizon in horizons]
    np.testing.assert_allclose(slopes(horizons, errors), order, atol=0.35)


@pytest.mark.parametrize(
    "formulation", [TrapezoidalCollocation(), HermiteSimpson(), OrthogonalCollocation(2, "radau")], ids=name_of
)
def test_the_mesh_error_is_the_gap_to_an_accurate_integration(formulation: Formulation) -> None:
    solution = accurately(10, formulation)
    knots, k = solution.trajectory.times, 3
    times = np.linspace(knots[k], knots[k + 1], 41)

    def rate(t: float, x: FloatArray) -> list[float]:
        return [x[1], -np.sin(x[0]) + float(solution.sample(t)[1][0, 0])]

    run = solve_ivp(
        rate, (times[0], times[-1]), solution.trajectory.states[k], t_eval=times[:-1], rtol=1e-12, atol=1e-14
    )
    gap = np.abs(run.y.T - solution.sample(times[:-1])[0]).max()
    assert solution.mesh_error[k] == pytest.approx(gap, rel=0.1)


HELD = [DirectTranscription(), DirectTranscription("midpoint", 2), SingleShooting(), MultipleShooting(5)]


@pytest.mark.parametrize("formulation", HELD, ids=lambda f: f"{f.name} {f.integrator}")
def test_a_reference_is_linear_between_the_knots_where_controls_are_held(formulation: Formulation) -> None:
    """x' = u + w follows a reference; both change with time. The cost has the order that held controls have."""
    costs = [_follow(formulation, horizon).cost for horizon in (10, 20, 40)]
    exact = _follow(OrthogonalCollocation(4, "legendre"), 20).cost
    errors = np.array(costs) - exact
    assert (errors > 0.0).all(), "held controls cost more than the best ones"
    orders = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.15)


def test_held_controls_reach_where_a_rising_wind_takes_them() -> None:
    """x' = w(t), of which x(2) is the integral, on the uneven mesh too."""
    mesh = np.linspace(0.0, 1.0, 6) ** 2
    problem = _following(5, mesh=mesh, control_bounds=(0.0, 0.0), parameters=_rising(2.0 * mesh))
    for formulation in (*HELD[:2], MultipleShooting(1)):
        solution = solve(problem, formulation, Ipopt(), line_guess(problem))
        np.testing.assert_allclose(solution.trajectory.states[:, 0], np.square(2.0 * mesh) / 2.0, atol=1e-6)
        assert solution.mesh_error.max() < 1e-6


def _follow(formulation: Formulation, horizon: int) -> Solution:
    problem = _following(horizon, parameters=_rising(np.linspace(0.0, DURATION, horizon + 1)))
    return solve(problem, formulation, Ipopt(tolerance=1e-10), line_guess(problem))


def _following(horizon: int, **changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(lambda x, u, wind: u + wind, 1, 1, parameters=["wind"]),
        "horizon": horizon,
        "duration": DURATION,
        "initial_state": [0.0],
        "stage_costs": [StageCost(_distance, integral=True, parameters=["reference"])],
    }
    return OptimalControlProblem(**settings | changes)


def _distance(state: Tensor, control: Tensor, reference: Tensor) -> Tensor:
    return (state - reference).square().sum(-1) + 0.1 * control.square().sum(-1)


def _rising(times: FloatArray) -> dict[str, TimeVarying]:
    return {"wind": TimeVarying(times[:, None]), "reference": TimeVarying(-2.0 * times[:, None])}
