"""The pendulum as an analytic torch model, in the angle and in keypoints, both equal to the environment."""

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.envs.pendulum_equations import (
    CONTROL_NAMES,
    KEYPOINT_NAMES,
    PendulumParameters,
    pendulum_acceleration,
    pendulum_step,
    swing_up_cost,
)
from trajopt_sgp.errors import ShapeError


class PendulumDynamics(torch.nn.Module):
    """Discrete dynamics of (theta, theta_dot): one explicit midpoint step, in the floating-point type of its input.

    The module has no weights. Shapes `(..., 2), (..., 1) -> (..., 2)`, the leading dimensions equal.
    """

    state_size = 2
    control_size = 1
    state_names = ("angle", "rate")
    control_names = CONTROL_NAMES

    def __init__(self, parameters: PendulumParameters | None = None) -> None:
        super().__init__()
        self.plant = parameters or PendulumParameters()

    @property
    def time_step(self) -> float:
        """Duration of one control interval [s]."""
        return self.plant.time_step

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the states `(..., 2)` one time step after `state` `(..., 2)` under `control` `(..., 1)` [N m].

        Raises:
            ShapeError: the sizes are not 2 and 1, or the leading dimensions differ.
        """
        _check_shapes(state, control, self.state_size)
        after: Tensor = pendulum_step(state, control, self.plant, torch)
        return after


class PendulumKeypointDynamics(torch.nn.Module):
    """The same step in keypoints (l cos theta, l sin theta, theta_dot): the tip turns round the joint.

    It is smooth everywhere and keeps the distance of the tip from the joint, also where that is not l; equal to
    `PendulumDynamics` where it is. Shapes `(..., 3), (..., 1) -> (..., 3)`, the leading dimensions equal.
    """

    state_size = 3
    control_size = 1
    state_names = KEYPOINT_NAMES
    control_names = CONTROL_NAMES

    def __init__(self, parameters: PendulumParameters | None = None) -> None:
        super().__init__()
        self.plant = parameters or PendulumParameters()

    @property
    def time_step(self) -> float:
        """Duration of one control interval [s]."""
        return self.plant.time_step

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the states `(..., 3)` one time step after `state` `(..., 3)` under `control` `(..., 1)` [N m].

        Raises:
            ShapeError: the sizes are not 3 and 1, or the leading dimensions differ.
        """
        _check_shapes(state, control, self.state_size)
        step, plant = self.plant.time_step, self.plant
        tip, rate, torque = state[..., :2], state[..., 2], control[..., 0]
        acceleration = pendulum_acceleration(tip[..., 1] / plant.length, rate, torque, plant)
        middle_rate = rate + 0.5 * step * acceleration
        middle_tip = _turned(tip, 0.5 * step * rate)
        acceleration = pendulum_acceleration(middle_tip[..., 1] / plant.length, middle_rate, torque, plant)
        return torch.cat((_turned(tip, step * middle_rate), (rate + step * acceleration)[..., None]), dim=-1)


def pendulum_swing_up_cost(
    state: Float[Tensor, "*batch n"], parameters: PendulumParameters | None = None
) -> Float[Tensor, "*batch"]:
    """Return |tip - upright|^2 / l^2 + 0.1 theta_dot^2 of keypoint states, `(..., 3) -> (...)`.

    Raises:
        ShapeError: the last dimension is not 3.
    """
    if state.shape[-1:] != (3,):
        raise ShapeError(f"A keypoint state of the pendulum has shape (..., 3), not {tuple(state.shape)}.")
    cost: Tensor = swing_up_cost(state, parameters or PendulumParameters())
    return cost


def _turned(tip: Tensor, angle: Tensor) -> Tensor:
    """Return the tip `(..., 2)` after a turn by `angle` `(...)`."""
    height, offset = tip[..., 0], tip[..., 1]
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack((height * cosine - offset * sine, offset * cosine + height * sine), dim=-1)


def _check_shapes(state: Tensor, control: Tensor, size: int) -> None:
    if state.shape[-1:] != (size,) or control.shape[-1:] != (1,) or state.shape[:-1] != control.shape[:-1]:
        raise ShapeError(
            f"The pendulum takes states (..., {size}) and controls (..., 1) with equal leading dimensions, "
            f"not {tuple(state.shape)} and {tuple(control.shape)}."
        )
