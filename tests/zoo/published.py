"""Problems from the literature whose optimum is known by number."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.zoo.analytic import make, squared_control
from tests.zoo.known import KnownProblem, straight_guess
from trajopt_sgp.problem import (
    ContinuousDynamics,
    FreeTime,
    OptimalControlProblem,
    StageCost,
    TerminalCost,
    Trajectory,
)

# --- Goddard's rocket -------------------------------------------------------------------------------------------------

THRUST_LIMIT, EXHAUST_SPEED, DRAG, DENSITY_DECAY, EMPTY_MASS = 3.5, 0.5, 310.0, 500.0, 0.6


def rocket(state: Tensor, control: Tensor) -> Tensor:
    """Rates of height, speed and mass, all relative to their size on the ground."""
    height, speed, mass = state.unbind(-1)
    thrust = control[..., 0]
    drag = DRAG * speed.square() * (-DENSITY_DECAY * (height - 1.0)).exp()
    return torch.stack([speed, (thrust - drag) / mass - height ** (-2.0), -thrust / EXHAUST_SPEED], dim=-1)


def fallen_short(state: Tensor) -> Tensor:
    return -state[..., 0]


def goddard(horizon: int = 40, **changes: Any) -> OptimalControlProblem:
    """Bring a rocket as high as its fuel allows; the objective is minus the height from the centre of the Earth.

    Source: E. D. Dolan, J. J. More and T. S. Munson, Benchmarking optimization software with COPS 3.0 (2004), problem
    "Goddard rocket": T_c = 3.5, h_c = 500, v_c = 620, m_c = 0.6; final height 1.01283.
    """
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(rocket, 3, 1),
        "horizon": horizon,
        "duration": FreeTime(0.2, 0.05, 0.5),
        "initial_state": [1.0, 0.0, 1.0],
        "final_state": {"mass": EMPTY_MASS},
        "terminal_costs": [TerminalCost(fallen_short, name="height")],
        "state_bounds": ([1.0, 0.0, EMPTY_MASS], [np.inf, np.inf, 1.0]),
        "control_bounds": (0.0, THRUST_LIMIT),
        "state_scale": [0.01, 0.1, 0.4],
        "state_names": ["height", "speed", "mass"],
        "control_names": ["thrust"],
        "name": "Goddard rocket",
    }
    return make(settings, changes)


def rocket_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return the guess of COPS: height 1, a parabola of speed, mass on a straight line, half thrust."""
    share = problem.grid.mesh
    states = np.stack([1.0 + 0.01 * share, share * (1.0 - share), 1.0 - (1.0 - EMPTY_MASS) * share], axis=-1)
    controls = np.full((problem.horizon, 1), 0.5 * THRUST_LIMIT)
    return Trajectory(states, controls, problem.grid.time_step, problem.grid.mesh)


# --- Van der Pol's oscillator -----------------------------------------------------------------------------------------


def oscillator(state: Tensor, control: Tensor) -> Tensor:
    first, second = state.unbind(-1)
    return torch.stack([(1.0 - second.square()) * first - second + control[..., 0], first], dim=-1)


def squares(state: Tensor, control: Tensor) -> Tensor:
    return state.square().sum(-1) + control.square().sum(-1)


def van_der_pol(horizon: int = 40, **changes: Any) -> OptimalControlProblem:
    """Damp a Van der Pol oscillator from (0, 1) in 10 s with -1 <= u <= 0.75 and least integral of x1² + x2² + u².

    Source: the example "VDP" of JModelica.org, J. Akesson et al., Computers and Chemical Engineering 34 (2010). Its
    tests give 3.1762 on a coarse mesh; the value here has been converged.
    """
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(oscillator, 2, 1),
        "horizon": horizon,
        "duration": 10.0,
        "initial_state": [0.0, 1.0],
        "stage_costs": [StageCost(squares, name="squares", integral=True)],
        "control_bounds": (-1.0, 0.75),
        "name": "Van der Pol",
    }
    return make(settings, changes)


# --- Kelly's cart-pole ------------------------------------------------------------------------------------------------

CART, POLE, LENGTH, GRAVITY = 1.0, 0.3, 0.5, 9.81


def cart_pole(state: Tensor, control: Tensor) -> Tensor:
    """Rates of position, angle (0 hanging) and their rates."""
    _, angle, speed, spin = state.unbind(-1)
    force, sine, cosine = control[..., 0], angle.sin(), angle.cos()
    inertia = CART + POLE * sine.square()
    swing = LENGTH * POLE * sine * spin.square()
    acceleration = (swing + force + POLE * GRAVITY * cosine * sine) / inertia
    turn = -(swing * cosine + force * cosine + (CART + POLE) * GRAVITY * sine) / (LENGTH * inertia)
    return torch.stack([speed, spin, acceleration, turn], dim=-1)


def kelly_swing_up(horizon: int = 40, **changes: Any) -> OptimalControlProblem:
    """Swing a pole up in 2 s while its cart moves by 1 m, with |x| <= 2 m, |u| <= 20 N and least integral of u².

    Source: M. Kelly, An Introduction to Trajectory Optimization, SIAM Review 59 (2017), section 6 and appendix E.
    """
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(cart_pole, 4, 1),
        "horizon": horizon,
        "duration": 2.0,
        "initial_state": np.zeros(4),
        "final_state": [1.0, math.pi, 0.0, 0.0],
        "stage_costs": [StageCost(squared_control, name="effort", integral=True)],
        "state_bounds": ([-2.0, -np.inf, -np.inf, -np.inf], [2.0, np.inf, np.inf, np.inf]),
        "control_bounds": (-20.0, 20.0),
        "state_names": ["position", "angle", "speed", "spin"],
        "control_names": ["force"],
        "name": "Kelly's cart-pole",
    }
    return make(settings, changes)


def published_problems() -> list[KnownProblem]:
    """Return the problems of this module."""
    return [
        KnownProblem(
            name="Goddard rocket",
            factory=goddard,
            optimum=-1.0128369,
            origin=-1.0,
            source="COPS 3.0; further digits converged here",
            guess=rocket_guess,
            horizon=40,
            terminal_equalities=True,
            free_time=True,
            note="a singular arc; errors are relative to the height above ground",
        ),
        KnownProblem(
            name="Van der Pol",
            factory=van_der_pol,
            optimum=3.1749718,
            source="converged here; JModelica.org's tests give 3.1762 on a coarse mesh",
            guess=straight_guess,
            horizon=40,
        ),
        KnownProblem(
            name="Kelly's cart-pole",
            factory=kelly_swing_up,
            optimum=58.80766746,
            other_optima=(57.94478031,),
            source="Kelly (2017); digits converged here",
            guess=straight_guess,
            horizon=40,
            terminal_equalities=True,
            note="the published plan; one that begins with a swing to the other side is cheaper",
        ),
    ]
