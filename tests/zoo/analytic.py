"""Problems whose optimum has a closed form, or follows from a linear differential equation."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from torch import Tensor

from tests.zoo.known import KnownProblem, straight_guess
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import (
    ContinuousDynamics,
    FreeTime,
    OptimalControlProblem,
    StageConstraint,
    StageCost,
    TerminalCost,
    Trajectory,
)


def make(settings: dict[str, Any], changes: dict[str, Any]) -> OptimalControlProblem:
    """Make a problem of settings, some of them changed."""
    return OptimalControlProblem(**{**settings, **changes})


def double_integrator(state: Tensor, control: Tensor) -> Tensor:
    """Rates of position and velocity of a unit mass."""
    return torch.stack([state[..., 1], control[..., 0]], dim=-1)


def squared_control(state: Tensor, control: Tensor) -> Tensor:
    return control.square().sum(-1)


def half_squared_control(state: Tensor, control: Tensor) -> Tensor:
    return 0.5 * control.square().sum(-1)


def one(state: Tensor, control: Tensor) -> Tensor:
    return torch.ones_like(control[..., 0])


def smooth_block_move(horizon: int = 20, **changes: Any) -> OptimalControlProblem:
    """Move a unit mass by 1 m in 1 s from rest to rest with least integral of u²: u = 6 - 12 t, objective 12."""
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(double_integrator, 2, 1),
        "horizon": horizon,
        "duration": 1.0,
        "initial_state": [0.0, 0.0],
        "final_state": [1.0, 0.0],
        "stage_costs": [StageCost(squared_control, name="effort", integral=True)],
        "control_bounds": (-20.0, 20.0),
        "state_names": ["position", "velocity"],
        "control_names": ["force"],
        "name": "block move",
    }
    return make(settings, changes)


def bryson_denham(horizon: int = 30, limit: float = 1.0 / 9.0, **changes: Any) -> OptimalControlProblem:
    """Return a unit mass thrown at 1 m/s in 1 s, never beyond `limit`, with least ½∫u²: 4/(9 limit), if limit <= 1/6.

    Source: A. E. Bryson and Y.-C. Ho, Applied Optimal Control (1975), section 3.11, example 2.
    """
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(double_integrator, 2, 1),
        "horizon": horizon,
        "duration": 1.0,
        "initial_state": [0.0, 1.0],
        "final_state": [0.0, -1.0],
        "stage_costs": [StageCost(half_squared_control, name="effort", integral=True)],
        "state_bounds": ([-np.inf, -np.inf], [limit, np.inf]),
        "control_bounds": (-20.0, 20.0),
        "state_names": ["position", "velocity"],
        "control_names": ["force"],
        "name": "Bryson-Denham",
    }
    return make(settings, changes)


def minimum_time(horizon: int = 20, **changes: Any) -> OptimalControlProblem:
    """Move a unit mass by 1 m from rest to rest, |u| <= 1, in least time: u = 1, then -1 from 1 s on; 2 s."""
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(double_integrator, 2, 1),
        "horizon": horizon,
        "duration": FreeTime(3.0, 0.5, 10.0),
        "initial_state": [0.0, 0.0],
        "final_state": [1.0, 0.0],
        "stage_costs": [StageCost(one, name="time", integral=True)],
        "control_bounds": (-1.0, 1.0),
        "state_names": ["position", "velocity"],
        "control_names": ["force"],
        "name": "minimum time",
    }
    return make(settings, changes)


# --- brachistochrone --------------------------------------------------------------------------------------------------

GRAVITY = 9.81
SLIDE_END = (2.0, 1.0)


def brachistochrone_time(across: float, down: float, gravity: float = GRAVITY) -> float:
    """Return the time [s] on the cycloid x = r (s - sin s), y = r (1 - cos s) from the origin: s_end sqrt(r / g)."""
    turn = float(
        brentq(
            lambda s: down * (s - math.sin(s)) - across * (1.0 - math.cos(s)), 1e-3, 2.0 * math.pi - 1e-9, xtol=1e-15
        )
    )
    return turn * math.sqrt(down / (1.0 - math.cos(turn)) / gravity)


def slide(state: Tensor, control: Tensor) -> Tensor:
    """Rates of x, y (downwards) and speed under an angle from the vertical."""
    speed, angle = state[..., 2], control[..., 0]
    return torch.stack([speed * angle.sin(), speed * angle.cos(), GRAVITY * angle.cos()], dim=-1)


def brachistochrone(horizon: int = 20, **changes: Any) -> OptimalControlProblem:
    """Slide from rest to a point 2 m across and 1 m down in least time."""
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(slide, 3, 1),
        "horizon": horizon,
        "duration": FreeTime(1.0, 0.1, 5.0),
        "initial_state": [0.0, 0.0, 0.0],
        "final_state": {"x": SLIDE_END[0], "y": SLIDE_END[1]},
        "stage_costs": [StageCost(one, name="time", integral=True)],
        "control_bounds": (0.0, math.pi),
        "state_names": ["x", "y", "speed"],
        "control_names": ["angle"],
        "name": "brachistochrone",
    }
    return make(settings, changes)


def slide_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return a straight slide at growing speed."""
    guess = straight_guess(problem)
    states = guess.states.copy()
    states[:, 2] = 4.0 * problem.grid.mesh
    return Trajectory(states, np.full((problem.horizon, 1), 1.0), guess.time_step, guess.mesh)


# --- linear-quadratic regulator ---------------------------------------------------------------------------------------

LQR_A = np.array([[0.0, 1.0], [2.0, -0.3]])
LQR_B = np.array([[0.0], [1.5]])
LQR_Q, LQR_R, LQR_END = np.diag([2.0, 0.5]), np.array([[0.4]]), np.diag([3.0, 1.0])
LQR_START, LQR_DURATION = np.array([1.0, -0.5]), 2.0


def lqr_rate(state: Tensor, control: Tensor) -> Tensor:
    return state @ torch.tensor(LQR_A, dtype=state.dtype).T + control @ torch.tensor(LQR_B, dtype=state.dtype).T


def half_square(matrix: FloatArray, vector: Tensor) -> Tensor:
    return 0.5 * (vector @ torch.tensor(matrix, dtype=vector.dtype) * vector).sum(-1)


def lqr_cost(state: Tensor, control: Tensor) -> Tensor:
    return half_square(LQR_Q, state) + half_square(LQR_R, control)


def lqr_end(state: Tensor) -> Tensor:
    return half_square(LQR_END, state)


def linear_regulator(horizon: int = 20, **changes: Any) -> OptimalControlProblem:
    """Steer an unstable linear system for 2 s with least ½∫(x'Qx + u'Ru) + ½ x_N' P_N x_N."""
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(lqr_rate, 2, 1),
        "horizon": horizon,
        "duration": LQR_DURATION,
        "initial_state": LQR_START,
        "stage_costs": [StageCost(lqr_cost, name="running", integral=True)],
        "terminal_costs": [TerminalCost(lqr_end, name="end")],
        "control_bounds": (-20.0, 20.0),
        "control_scale": 1.0,
        "name": "LQR",
    }
    return make(settings, changes)


@cache
def _riccati_solution() -> Any:
    def rate(time_to_go: float, flat: FloatArray) -> FloatArray:
        P = flat.reshape(2, 2)
        change: FloatArray = LQR_A.T @ P + P @ LQR_A - P @ LQR_B @ np.linalg.solve(LQR_R, LQR_B.T @ P) + LQR_Q
        return change.ravel()

    return solve_ivp(
        rate, (0.0, LQR_DURATION), LQR_END.ravel(), method="DOP853", rtol=1e-13, atol=1e-14, dense_output=True
    )


def regulator_optimum() -> float:
    """Return ½ x_0' P(0) x_0 with P from the Riccati differential equation."""
    P = _riccati_solution().y[:, -1].reshape(2, 2)
    return float(0.5 * LQR_START @ P @ LQR_START)


def regulator_gain(time: float) -> FloatArray:
    """Return the optimal gain K `(1, 2)` of u = -K x at a time [s]."""
    P = _riccati_solution().sol(LQR_DURATION - time).reshape(2, 2)
    gain: FloatArray = np.linalg.solve(LQR_R, LQR_B.T @ P)
    return gain


# --- round an obstacle ------------------------------------------------------------------------------------------------

RADIUS, DISTANCE = 0.5, 1.0


def squared_radius(state: Tensor, control: Tensor) -> Tensor:
    return state.square().sum(-1, keepdim=True)


def velocity(state: Tensor, control: Tensor) -> Tensor:
    return control + 0.0 * state


def around_a_circle(horizon: int = 24, **changes: Any) -> OptimalControlProblem:
    """Go in 1 s from one side of a round obstacle to the opposite one with least integral of the squared speed.

    The speed is constant on the shortest path, two tangents and an arc between them, so that the optimum is the square
    of its length. There are two such paths.
    """
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(velocity, 2, 2),
        "horizon": horizon,
        "duration": 1.0,
        "initial_state": [-DISTANCE, 0.0],
        "final_state": [DISTANCE, 0.0],
        "stage_costs": [StageCost(squared_control, name="effort", integral=True)],
        "constraints": [StageConstraint(squared_radius, lower=RADIUS**2, name="obstacle")],
        "control_bounds": (-5.0, 5.0),
        "state_names": ["x", "y"],
        "name": "obstacle",
    }
    return make(settings, changes)


def shortest_path() -> float:
    """Return the length of the shortest path between opposite points at `DISTANCE` around a circle of `RADIUS`."""
    return 2.0 * math.sqrt(DISTANCE**2 - RADIUS**2) + RADIUS * (math.pi - 2.0 * math.acos(RADIUS / DISTANCE))


def detour_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return a wide arc above the obstacle at constant angular speed."""
    angle = math.pi * (1.0 - problem.grid.mesh)
    states = DISTANCE * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    spans = problem.grid.duration * problem.grid.shares[:, None]
    return Trajectory(states, np.diff(states, axis=0) / spans, problem.grid.time_step, problem.grid.mesh)


def analytic_problems() -> list[KnownProblem]:
    """Return the problems of this module."""
    return [
        KnownProblem(
            name="block move",
            factory=smooth_block_move,
            optimum=12.0,
            source="calculus of variations",
            guess=straight_guess,
            terminal_equalities=True,
        ),
        KnownProblem(
            name="Bryson-Denham",
            factory=bryson_denham,
            optimum=4.0,
            source="Bryson and Ho (1975), section 3.11",
            guess=straight_guess,
            horizon=30,
            terminal_equalities=True,
            note="the control is continuous with kinks at 1/3 s and 2/3 s",
        ),
        KnownProblem(
            name="minimum time",
            factory=minimum_time,
            optimum=2.0,
            source="bang-bang, closed form",
            guess=straight_guess,
            terminal_equalities=True,
            free_time=True,
            note="the control jumps half way; at even horizons a knot is there",
        ),
        KnownProblem(
            name="brachistochrone",
            factory=brachistochrone,
            optimum=brachistochrone_time(*SLIDE_END),
            source="cycloid",
            guess=slide_guess,
            terminal_equalities=True,
            free_time=True,
        ),
        KnownProblem(
            name="LQR",
            factory=linear_regulator,
            optimum=regulator_optimum(),
            source="Riccati differential equation",
            guess=straight_guess,
        ),
        KnownProblem(
            name="obstacle",
            factory=around_a_circle,
            optimum=shortest_path() ** 2,
            source="tangents and arc",
            guess=detour_guess,
            horizon=24,
            terminal_equalities=True,
            note="the constraint holds at the points of the formulation; between them plans cut the corner",
        ),
    ]
