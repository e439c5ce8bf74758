"""Problems that are built in: small ones in continuous time whose optimum is known."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.problem import (
    ContinuousDynamics,
    FreeTime,
    OptimalControlProblem,
    StageConstraint,
    StageCost,
    Trajectory,
)
from trajopt_sgp.solvers.guess import line_guess

GRAVITY = 9.81


@dataclass(frozen=True, eq=False)
class BuiltInProblem:
    """A problem, what is known of it, and where solvers begin."""

    summary: str
    """What it asks for, in a few words."""
    make: Callable[[], OptimalControlProblem]
    """Returns the problem on a coarse mesh."""
    optimum: float | None = None
    """Least objective, where it is known."""
    source: str = ""
    """Where problem and optimum come from."""
    guess: Callable[[OptimalControlProblem], Trajectory] | None = None
    """Where solvers begin; a straight line if not given."""


def double_integrator(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of position and velocity `(..., 2)` of a unit mass under a force `(..., 1)`."""
    return torch.stack([state[..., 1], control[..., 0]], dim=-1)


def squared_control(state: Tensor, control: Tensor) -> Tensor:
    """Return |u|², `(...)`."""
    return control.square().sum(-1)


def one(state: Tensor, control: Tensor) -> Tensor:
    """Return 1, `(...)`, whose integral is the duration."""
    return torch.ones_like(control[..., 0])


def block_move() -> OptimalControlProblem:
    """Move a unit mass by 1 m in 1 s from rest to rest with least integral of u²: u = 6 - 12 t, objective 12."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(double_integrator, 2, 1),
        horizon=20,
        duration=1.0,
        initial_state=[0.0, 0.0],
        final_state=[1.0, 0.0],
        stage_costs=[StageCost(squared_control, name="effort", integral=True)],
        control_bounds=(-20.0, 20.0),
        state_names=["position", "velocity"],
        control_names=["force"],
        name="block move",
    )


def bryson_denham() -> OptimalControlProblem:
    """Return a unit mass thrown at 1 m/s in 1 s, never beyond 1/9 m, with least integral of u²/2: objective 4."""
    return block_move().replaced(
        horizon=30,
        initial_state=[0.0, 1.0],
        final_state=[0.0, -1.0],
        stage_costs=[StageCost(squared_control, weight=0.5, name="effort", integral=True)],
        state_bounds=([-np.inf, -np.inf], [1.0 / 9.0, np.inf]),
        name="Bryson-Denham",
    )


def minimum_time() -> OptimalControlProblem:
    """Move a unit mass by 1 m from rest to rest in least time with |u| <= 1 N: u = 1, then -1; 2 s."""
    return block_move().replaced(
        duration=FreeTime(3.0, 0.5, 10.0),
        stage_costs=[StageCost(one, name="time", integral=True)],
        control_bounds=(-1.0, 1.0),
        name="minimum time",
    )


def slide(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of x, y (downwards) and speed `(..., 3)` under an angle from the vertical `(..., 1)`."""
    speed, angle = state[..., 2], control[..., 0]
    return torch.stack([speed * angle.sin(), speed * angle.cos(), GRAVITY * angle.cos()], dim=-1)


def brachistochrone() -> OptimalControlProblem:
    """Slide from rest to a point 2 m across and 1 m down in least time: a cycloid."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(slide, 3, 1),
        horizon=20,
        duration=FreeTime(1.0, 0.1, 5.0),
        initial_state=[0.0, 0.0, 0.0],
        final_state={"x": 2.0, "y": 1.0},
        stage_costs=[StageCost(one, name="time", integral=True)],
        control_bounds=(0.0, math.pi),
        state_names=["x", "y", "speed"],
        control_names=["angle"],
        name="brachistochrone",
    )


def slide_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return a straight slide at growing speed."""
    line = line_guess(problem)
    states = line.states.copy()
    states[:, 2] = 4.0 * problem.grid.mesh
    return Trajectory(states, np.full_like(line.controls, 1.0), line.time_step, line.mesh)


def velocity(state: Tensor, control: Tensor) -> Tensor:
    """Return the control as the rate of the state, `(..., 2)`."""
    return control + 0.0 * state


def squared_radius(state: Tensor, control: Tensor) -> Tensor:
    """Return the squared distance to the origin as a row, `(..., 1)`."""
    return state.square().sum(-1, keepdim=True)


def obstacle() -> OptimalControlProblem:
    """Go in 1 s round a circle of radius 0.5 m to the opposite side with least integral of the squared speed."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(velocity, 2, 2),
        horizon=24,
        duration=1.0,
        initial_state=[-1.0, 0.0],
        final_state=[1.0, 0.0],
        stage_costs=[StageCost(squared_control, name="effort", integral=True)],
        constraints=[StageConstraint(squared_radius, lower=0.25, name="obstacle")],
        control_bounds=(-5.0, 5.0),
        state_names=["x", "y"],
        control_names=["x_speed", "y_speed"],
        name="obstacle",
    )


def detour_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return a wide arc above the obstacle at constant angular speed."""
    angle = math.pi * (1.0 - problem.grid.mesh)
    states = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    line = line_guess(problem)
    return Trajectory(states, np.diff(states, axis=0) / line.time_step, line.time_step, line.mesh)


def oscillator(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates `(..., 2)` of a Van der Pol oscillator under a force `(..., 1)`."""
    first, second = state.unbind(-1)
    return torch.stack([(1.0 - second.square()) * first - second + control[..., 0], first], dim=-1)


def squares(state: Tensor, control: Tensor) -> Tensor:
    """Return |x|² + |u|², `(...)`."""
    return state.square().sum(-1) + control.square().sum(-1)


def van_der_pol() -> OptimalControlProblem:
    """Damp a Van der Pol oscillator from (0, 1) in 10 s with -1 <= u <= 0.75 and least integral of |x|² + u²."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(oscillator, 2, 1),
        horizon=40,
        duration=10.0,
        initial_state=[0.0, 1.0],
        stage_costs=[StageCost(squares, name="squares", integral=True)],
        control_bounds=(-1.0, 0.75),
        name="Van der Pol",
    )


def cart_pole(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates `(..., 4)` of Kelly's cart-pole: position, angle (0 hanging), and their rates."""
    cart, pole, length = 1.0, 0.3, 0.5
    _, angle, speed, spin = state.unbind(-1)
    force, sine, cosine = control[..., 0], angle.sin(), angle.cos()
    inertia = cart + pole * sine.square()
    swing = length * pole * sine * spin.square()
    acceleration = (swing + force + pole * GRAVITY * cosine * sine) / inertia
    turn = -(swing * cosine + force * cosine + (cart + pole) * GRAVITY * sine) / (length * inertia)
    return torch.stack([speed, spin, acceleration, turn], dim=-1)


def cart_pole_swing_up() -> OptimalControlProblem:
    """Swing a pole up in 2 s while its cart moves by 1 m, with |x| <= 2 m, |u| <= 20 N and least integral of u²."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(cart_pole, 4, 1),
        horizon=40,
        duration=2.0,
        initial_state=[0.0, 0.0, 0.0, 0.0],
        final_state=[1.0, math.pi, 0.0, 0.0],
        stage_costs=[StageCost(squared_control, name="effort", integral=True)],
        state_bounds=([-2.0, -np.inf, -np.inf, -np.inf], [2.0, np.inf, np.inf, np.inf]),
        control_bounds=(-20.0, 20.0),
        state_names=["position", "angle", "speed", "spin"],
        control_names=["force"],
        name="cart-pole swing-up",
    )


BUILT_IN: Mapping[str, BuiltInProblem] = {
    "block-move": BuiltInProblem(
        "a mass from rest to rest in 1 s, least force squared", block_move, 12.0, "calculus of variations"
    ),
    "bryson-denham": BuiltInProblem(
        "a thrown mass returns, its position limited", bryson_denham, 4.0, "Bryson and Ho (1975), section 3.11"
    ),
    "minimum-time": BuiltInProblem("a mass from rest to rest in least time", minimum_time, 2.0, "bang-bang"),
    "brachistochrone": BuiltInProblem(
        "the fastest slide between two points", brachistochrone, 0.80556382952, "cycloid", slide_guess
    ),
    "obstacle": BuiltInProblem(
        "round a circle on the shortest path",
        obstacle,
        (math.sqrt(3.0) + math.pi / 6.0) ** 2,
        "tangents and arc",
        detour_guess,
    ),
    "van-der-pol": BuiltInProblem("damp an oscillator, the control bounded", van_der_pol, 3.1749718, "converged here"),
    "cart-pole-swing-up": BuiltInProblem(
        "swing a pole up in 2 s, least force squared", cart_pole_swing_up, 58.8076675, "Kelly (2017), section 6"
    ),
}
"""By the name on the command line."""
