"""The cart-pole as an analytic torch model, equal to the environment, and its swing-up cost."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.envs.cartpole_equations import (
    CONTROL_NAMES,
    STATE_NAMES,
    CartPoleParameters,
    cartpole_derivative,
    swing_up_cost,
)
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.models.integrators import midpoint


class CartPoleDynamics(torch.nn.Module):
    """Discrete cart-pole dynamics x' = f(x, u): one explicit midpoint step, in the floating-point type of its input.

    The module has no weights. Shapes `(..., 4), (..., 1) -> (..., 4)`, the leading dimensions equal.
    """

    state_size = 4
    control_size = 1
    state_names = STATE_NAMES
    control_names = CONTROL_NAMES

    def __init__(self, parameters: CartPoleParameters | None = None) -> None:
        super().__init__()
        self.plant = parameters or CartPoleParameters()

    @property
    def time_step(self) -> float:
        """Duration of one control interval [s]."""
        return self.plant.time_step

    def derivative(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the continuous-time derivative of the states `(..., 4)` under the forces `(..., 1)` [N].

        Raises:
            ShapeError: the sizes are not 4 and 1, or the leading dimensions differ.
        """
        _check_shapes(state, control)
        derivative: Tensor = cartpole_derivative(state, control, self.plant, torch)
        return derivative

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the states `(..., 4)` one time step after `state` `(..., 4)` under `control` `(..., 1)` [N].

        Raises:
            ShapeError: the sizes are not 4 and 1, or the leading dimensions differ.
        """
        return midpoint(self.derivative, state, control, self.time_step)

    def extra_repr(self) -> str:
        """Return the physical constants, for the printed module."""
        return str(self.plant)


def cartpole_swing_up_cost(state: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Return p^2 + (theta - pi)^2 + 0.1 p_dot^2 + 0.1 theta_dot^2 of the states, `(..., 4) -> (...)`.

    Raises:
        ShapeError: the last dimension is not 4.
    """
    if state.shape[-1:] != (4,):
        raise ShapeError(f"A cart-pole state has shape (..., 4), not {tuple(state.shape)}.")
    cost: Tensor = swing_up_cost(state[..., 0], state[..., 1], state[..., 2], state[..., 3])
    return cost


def _check_shapes(state: Any, control: Any) -> None:
    if state.shape[-1:] != (4,) or control.shape[-1:] != (1,) or state.shape[:-1] != control.shape[:-1]:
        raise ShapeError(
            f"The cart-pole takes states (..., 4) and controls (..., 1) with equal leading dimensions, "
            f"not {tuple(state.shape)} and {tuple(control.shape)}."
        )
