"""Three systems on which the certificate of model bias is tested: each with its truth, its data and its problems."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.data import Transitions, describe_dataset
from trajopt_sgp.envs import CartPoleDynamics, sample_cartpole_transitions
from trajopt_sgp.models.integrators import midpoint
from trajopt_sgp.problem import Dynamics, OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.studies.swing_up import swing_up_problem
from trajopt_sgp.uncertainty import DataDistance

Step = Callable[[Tensor, Tensor], Tensor]

_PENDULUM_BOX = np.array([5.0, 10.0])
_PENDULUM_LIMIT = 2.5
_DRIFT_BOX = np.array([2.0, 2.0])
_DRIFT_LIMIT = 1.0


@dataclass(frozen=True)
class CertificateSystem:
    """A plant, where its data come from, and what is planned on it."""

    name: str
    """On tables and figures."""
    step: Step
    """The plant: states `(..., n)`, controls `(..., m)` to next states."""
    sample: Callable[[int, np.random.Generator], Transitions]
    """Draws that many transitions."""
    problem: Callable[[Dynamics, list[DataDistance]], OptimalControlProblem]
    """Model and distances to data to a problem from some initial state."""
    initial_states: Callable[[int, np.random.Generator], FloatArray]
    """Draws that many initial states `(B, n)`."""


def execute(system: CertificateSystem, initial_states: FloatArray, controls: FloatArray) -> FloatArray:
    """Return the states `(B, N+1, n)` of the plant under controls `(B, N, m)`, open loop."""
    states = [torch.tensor(initial_states)]
    for t in range(controls.shape[1]):
        states.append(system.step(states[-1], torch.tensor(controls[:, t])))
    return torch.stack(states, dim=1).numpy()


def pendulum_step(state: Tensor, control: Tensor) -> Tensor:
    """Return (theta, theta_dot) 0.05 s later: 1 kg at 0.5 m, friction 0.1 N m s, theta = 0 hanging, torque [N m]."""

    def derivative(state: Tensor, control: Tensor) -> Tensor:
        angle, rate = state[..., 0], state[..., 1]
        acceleration = (control[..., 0] - 0.1 * rate - 9.81 * 0.5 * angle.sin()) / 0.25
        return torch.stack([rate, acceleration], dim=-1)

    return midpoint(derivative, state, control, 0.05)


def drift_step(state: Tensor, control: Tensor) -> Tensor:
    """Return the position 0.1 s later of a point steered by its velocity `(..., 2)` in a field of whirls."""
    x, y = state[..., 0], state[..., 1]
    field = torch.stack([torch.sin(2.0 * y) * torch.cos(x), -torch.sin(2.0 * x) * torch.cos(y)], dim=-1)
    return state + 0.1 * (control + 0.8 * field)


def _uniform_sampler(name: str, step: Step, box: FloatArray, limit: float, controls: int) -> Any:
    """Return a sampler of single steps, states uniform in ±box and controls in ±limit."""

    def sample(count: int, generator: np.random.Generator) -> Transitions:
        states = generator.uniform(-box, box, (count, len(box)))
        inputs = generator.uniform(-limit, limit, (count, controls))
        arrays: dict[str, AnyArray] = {
            "states": states,
            "controls": inputs,
            "next_states": step(torch.from_numpy(states), torch.from_numpy(inputs)).numpy(),
            "episodes": np.arange(count, dtype=np.int64),
            "terminated": np.zeros(count, dtype=np.bool_),
        }
        size = len(box)
        bounds = ([-np.inf] * size, [np.inf] * size), ([-limit] * controls, [limit] * controls)
        return Transitions(**arrays, dataset=describe_dataset(name, arrays, *bounds))

    return sample


def _pendulum_problem(dynamics: Dynamics, distances: list[DataDistance]) -> OptimalControlProblem:
    def upright(state: Tensor) -> Tensor:
        return 2.0 * (1.0 + state[..., 0].cos()) + 0.1 * state[..., 1].square()

    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=60,
        initial_state=np.zeros(2),
        stage_costs=[*distances, StageCost(_effort(_PENDULUM_LIMIT), 0.01, "effort")],
        terminal_costs=[TerminalCost(upright, 10.0, "upright")],
        control_bounds=(-_PENDULUM_LIMIT, _PENDULUM_LIMIT),
        time_step=0.05,
        state_names=("angle", "rate"),
        control_names=("torque",),
        name="pendulum swing-up",
    )


def _drift_problem(dynamics: Dynamics, distances: list[DataDistance]) -> OptimalControlProblem:
    def goal(state: Tensor) -> Tensor:
        return (state - state.new_tensor([1.0, 1.0])).square().sum(-1)

    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=40,
        initial_state=np.zeros(2),
        stage_costs=[*distances, StageCost(_effort(_DRIFT_LIMIT), 0.01, "effort")],
        terminal_costs=[TerminalCost(goal, 10.0, "goal")],
        control_bounds=(-_DRIFT_LIMIT, _DRIFT_LIMIT),
        time_step=0.1,
        state_names=("x", "y"),
        control_names=("velocity_x", "velocity_y"),
        name="point in a drift",
    )


def _effort(limit: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda state, control: (control / limit).square().sum(-1)


def _cartpole_problem(dynamics: Dynamics, distances: list[DataDistance]) -> OptimalControlProblem:
    return swing_up_problem(dynamics, distances)


def _around(center: FloatArray, spread: FloatArray) -> Callable[[int, np.random.Generator], FloatArray]:
    def draw(count: int, generator: np.random.Generator) -> FloatArray:
        return center + spread * generator.uniform(-1.0, 1.0, (count, len(center)))

    return draw


SYSTEMS = {
    system.name: system
    for system in (
        CertificateSystem(
            "cart-pole",
            CartPoleDynamics(),
            sample_cartpole_transitions,
            _cartpole_problem,
            _around(np.zeros(4), np.array([0.5, 0.5, 0.5, 0.5])),
        ),
        CertificateSystem(
            "pendulum",
            pendulum_step,
            _uniform_sampler("pendulum-box", pendulum_step, _PENDULUM_BOX, _PENDULUM_LIMIT, 1),
            _pendulum_problem,
            _around(np.zeros(2), np.array([1.0, 1.0])),
        ),
        CertificateSystem(
            "drift",
            drift_step,
            _uniform_sampler("drift-box", drift_step, _DRIFT_BOX, _DRIFT_LIMIT, 2),
            _drift_problem,
            _around(np.zeros(2), np.array([1.5, 1.5])),
        ),
    )
}
"""By name."""
