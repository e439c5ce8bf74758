"""A small zoo of problems with known answers, shared by the tests of formulations and solvers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.envs import CartPoleDynamics, CartPoleParameters, cartpole_swing_up_cost, sample_cartpole_transitions
from trajopt_sgp.models import Calibration, EnergyNetwork, ScoreNetwork, fit_normalizer
from trajopt_sgp.problem import (
    OptimalControlProblem,
    StageConstraint,
    StageCost,
    TerminalConstraint,
    TerminalCost,
)


@dataclass(frozen=True, eq=False)
class LinearDynamics:
    """x' = A x + B u."""

    A: FloatArray
    B: FloatArray

    @property
    def state_size(self) -> int:
        return len(self.A)

    @property
    def control_size(self) -> int:
        return int(self.B.shape[1])

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        return state @ torch.as_tensor(self.A).T + control @ torch.as_tensor(self.B).T


# --- linear-quadratic -------------------------------------------------------------------------------------------------

Q, R, QF = np.diag([1.0, 0.5, 0.2]), np.diag([0.3, 0.6]), np.diag([5.0, 4.0, 3.0])
LQ_DYNAMICS = LinearDynamics(
    np.array([[1.0, 0.1, 0.0], [-0.2, 0.95, 0.1], [0.0, 0.3, 1.02]]), np.array([[0.0, 0.1], [0.2, 0.0], [0.1, 0.1]])
)
LQ_START = np.array([1.0, -0.5, 0.8])
LQ_HORIZON = 12


def quadratic(matrix: FloatArray, vector: Tensor) -> Tensor:
    return 0.5 * (vector @ torch.as_tensor(matrix) * vector).sum(-1)


def lq_cost(state: Tensor, control: Tensor) -> Tensor:
    return quadratic(Q, state) + quadratic(R, control)


def lq_terminal(state: Tensor) -> Tensor:
    return quadratic(QF, state)


def linear_quadratic(**changes: Any) -> OptimalControlProblem:
    """Minimise 1/2 sum (x'Qx + u'Ru) + 1/2 x_N' QF x_N for linear dynamics."""
    settings: dict[str, Any] = {
        "dynamics": LQ_DYNAMICS,
        "horizon": LQ_HORIZON,
        "initial_state": LQ_START,
        "stage_costs": [lq_cost],
        "terminal_costs": [lq_terminal],
        "control_bounds": (-10.0, 10.0),
        "time_step": 0.1,
    }
    return OptimalControlProblem(**{**settings, **changes})


def riccati(start: FloatArray = LQ_START, horizon: int = LQ_HORIZON) -> tuple[float, FloatArray]:
    """Return the optimal cost and the optimal controls `(N, m)` of `linear_quadratic` without bounds."""
    A, B, P = LQ_DYNAMICS.A, LQ_DYNAMICS.B, QF
    gains = []
    for _ in range(horizon):
        gain = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
        P = Q + A.T @ P @ (A - B @ gain)
        gains.append(gain)
    state, controls = start, []
    for gain in reversed(gains):
        controls.append(-gain @ state)
        state = A @ state + B @ controls[-1]
    return float(0.5 * start @ P @ start), np.array(controls)


# --- block move -------------------------------------------------------------------------------------------------------


def block_dynamics(time_step: float) -> LinearDynamics:
    A = np.array([[1.0, time_step], [0.0, 1.0]])
    return LinearDynamics(A, np.array([[0.5 * time_step**2], [time_step]]))


def block_move(horizon: int = 20, **changes: Any) -> OptimalControlProblem:
    """Move a unit mass by 1 in 1 s from rest to rest, minimising the integral of u^2 (12 in the limit)."""

    def energy(state: Tensor, control: Tensor) -> Tensor:
        return control.square().sum(-1) / horizon

    def identity(state: Tensor) -> Tensor:
        return state

    settings: dict[str, Any] = {
        "dynamics": block_dynamics(1.0 / horizon),
        "horizon": horizon,
        "initial_state": [0.0, 0.0],
        "stage_costs": [energy],
        "constraints": [TerminalConstraint(identity, lower=[1.0, 0.0], upper=[1.0, 0.0], name="target")],
        "control_bounds": (-20.0, 20.0),
        "time_step": 1.0 / horizon,
        "state_names": ["position", "velocity"],
        "control_names": ["force"],
    }
    return OptimalControlProblem(**{**settings, **changes})


def block_move_optimum(horizon: int = 20) -> FloatArray:
    """Return the optimal forces `(N,)`: the least norm that reaches the target."""
    dynamics = block_dynamics(1.0 / horizon)
    powers = [np.linalg.matrix_power(dynamics.A, horizon - 1 - t) @ dynamics.B for t in range(horizon)]
    forces: FloatArray = np.linalg.pinv(np.hstack(powers)) @ np.array([1.0, 0.0])
    return forces


# --- cart-pole --------------------------------------------------------------------------------------------------------

CARTPOLE_NAMES = ["p", "theta", "p_dot", "theta_dot"]


def force_cost(state: Tensor, control: Tensor) -> Tensor:
    return (control / 80.0).square().sum(-1)


def cartpole_swing_up(horizon: int = 20, time_step: float = 0.1, **changes: Any) -> OptimalControlProblem:
    """Swing the analytic cart-pole up, with a small cost of the force."""
    settings: dict[str, Any] = {
        "dynamics": CartPoleDynamics(CartPoleParameters(time_step=time_step)),
        "horizon": horizon,
        "initial_state": np.zeros(4),
        "stage_costs": [StageCost(force_cost, weight=0.1, name="force")],
        "terminal_costs": [TerminalCost(cartpole_swing_up_cost, name="upright")],
        "control_bounds": (-80.0, 80.0),
        "time_step": time_step,
        "state_names": CARTPOLE_NAMES,
        "control_names": ["force"],
    }
    return OptimalControlProblem(**{**settings, **changes})


def cartpole_data(count: int = 60, seed: int = 5) -> Transitions:
    return sample_cartpole_transitions(count, np.random.default_rng(seed))


def energy_network(data: Transitions, seed: int = 0) -> EnergyNetwork:
    """A calibrated energy network with random weights: no model of the data, but every derivative matters."""
    generator = torch.Generator().manual_seed(seed)
    model = EnergyNetwork(data.dataset, fit_normalizer(data), (8, 8), generator=generator)
    model.calibration = Calibration((0.02, 0.6), (0.1, 0.2))
    return model


def score_network(data: Transitions, seed: int = 0) -> ScoreNetwork:
    generator = torch.Generator().manual_seed(seed)
    return ScoreNetwork(data.dataset, fit_normalizer(data), (8, 8), generator=generator)


# --- nonconvex path constraint ----------------------------------------------------------------------------------------


def squared_radius(state: Tensor, control: Tensor) -> Tensor:
    return state.square().sum(-1, keepdim=True)


def around_a_pillar(**changes: Any) -> OptimalControlProblem:
    """Go from one side of a round pillar of radius 0.5 to the other, minimising the squared speed."""

    def speed(state: Tensor, control: Tensor) -> Tensor:
        return control.square().sum(-1)

    def goal(state: Tensor) -> Tensor:
        return 50.0 * (state - torch.tensor([1.0, 0.0], dtype=state.dtype)).square().sum(-1)

    settings: dict[str, Any] = {
        "dynamics": LinearDynamics(np.eye(2), 0.2 * np.eye(2)),
        "horizon": 14,
        "initial_state": [-1.0, 0.1],
        "stage_costs": [speed],
        "terminal_costs": [goal],
        "constraints": [StageConstraint(squared_radius, lower=0.25, name="pillar")],
        "control_bounds": (-2.0, 2.0),
        "time_step": 0.2,
    }
    return OptimalControlProblem(**{**settings, **changes})


# --- data -------------------------------------------------------------------------------------------------------------


def made_transitions(points: Sequence[Sequence[float]], state_size: int) -> Transitions:
    """Transitions whose [x; u] are the given points; next states do not matter."""
    z = np.array(points, dtype=np.float64)
    arrays: dict[str, Any] = {
        "states": z[:, :state_size],
        "controls": z[:, state_size:],
        "next_states": z[:, :state_size],
        "episodes": np.arange(len(z)),
        "terminated": np.zeros(len(z), dtype=np.bool_),
    }
    low, high = z.min(axis=0), z.max(axis=0)
    info = describe_dataset(
        "made/points-v0", arrays, (low[:state_size], high[:state_size]), (low[state_size:], high[state_size:])
    )
    return Transitions(**arrays, dataset=info)
