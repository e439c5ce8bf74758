"""The cart-pole swing-up as a Gymnasium environment: the plant that plans are judged on."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.cartpole_equations import (
    STATE_BOX_HIGH,
    STATE_BOX_LOW,
    CartPoleParameters,
    cartpole_accelerations,
    swing_up_cost,
)
from trajopt_sgp.envs.parameters import read_parameters
from trajopt_sgp.envs.plant import PlantEnv, Renderer
from trajopt_sgp.models.integrators import midpoint

_RESET_LOW = np.array((-1.0, 0.0, -0.5, -0.5))
_RESET_HIGH = np.array((1.0, 0.0, 0.5, 0.5))


class CartPoleSwingUpEnv(PlantEnv):
    """Swing a pole up and hold it upright by pushing its cart.

    * Observation `(4,)`, float64: the state [p, theta, p_dot, theta_dot] in [m], [rad], [m/s], [rad/s].
      theta = 0 hangs, theta = pi stands; the angle is not wrapped.
    * Action `(1,)`, float64: the force on the cart [N], clipped to the action space as Gymnasium's classic control
      tasks do; `info["force"]` is the force applied. An action of another shape, or NaN, is refused.
    * Reward: -time_step * (p^2 + (theta - pi)^2 + 0.1 p_dot^2 + 0.1 theta_dot^2) of the state reached.
    * An episode never terminates; through `gymnasium.make` it is truncated after 200 steps (10 s).
    * `reset` hangs the pole, with |p| <= 1 and rates within 0.5, all uniform; `options={"state": [...]}` sets a state.

    `data_box` is the region of the state space in which data are collected; nothing stops the cart from leaving it.
    """

    plant = "cart-pole"
    state_size = 4

    def __init__(
        self, render_mode: str | None = None, parameters: CartPoleParameters | Mapping[str, float] | None = None
    ) -> None:
        self.parameters = read_parameters(CartPoleParameters, parameters, self.plant)
        self.time_step, limit = self.parameters.time_step, self.parameters.force_limit
        super().__init__(render_mode, spaces.Box(-limit, limit, (1,), np.float64))
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.data_box = spaces.Box(np.array(STATE_BOX_LOW), np.array(STATE_BOX_HIGH), dtype=np.float64)

    def _random_state(self) -> FloatArray:
        return self.np_random.uniform(_RESET_LOW, _RESET_HIGH)

    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        return midpoint(self._derivative, state, float(control[0]), self.parameters.time_step)

    def _reward(self, state: FloatArray, control: FloatArray) -> float:
        return -self.parameters.time_step * float(swing_up_cost(*state.tolist()))

    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        return {} if control is None else {"force": float(control[0])}

    def _open_renderer(self, window: bool) -> Renderer:
        from trajopt_sgp.envs.cartpole_renderer import CartPoleRenderer

        return CartPoleRenderer(self.parameters, window)

    def _derivative(self, state: FloatArray, force: float) -> FloatArray:
        # scalar sine and cosine: several times faster than NumPy on four numbers
        _, theta, p_dot, theta_dot = state.tolist()
        p_ddot, theta_ddot = cartpole_accelerations(theta, theta_dot, force, self.parameters, math.sin, math.cos)
        return np.array((p_dot, theta_dot, p_ddot, theta_ddot))
