"""The pendulum swing-up as a Gymnasium environment that shows keypoints instead of the angle."""

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np
from gymnasium import spaces

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.parameters import read_parameters
from trajopt_sgp.envs.pendulum_equations import (
    STATE_BOX_HIGH,
    STATE_BOX_LOW,
    PendulumParameters,
    keypoints,
    pendulum_step,
    swing_up_cost,
)
from trajopt_sgp.envs.plant import PlantEnv, Renderer

_RESET_LOW = np.array((pi - 0.2, -0.5))
_RESET_HIGH = np.array((pi + 0.2, 0.5))


class PendulumKeypointsEnv(PlantEnv):
    """Swing a pendulum up by a torque at its joint, and hold it upright; the angle is seen only through its tip.

    * Observation `(3,)`, float64: [l cos theta, l sin theta, theta_dot] in [m], [m], [rad/s]. theta = 0 stands, so the
      first number is the height of the tip over the joint.
    * Action `(1,)`, float64: the torque [N m], clipped to the action space; `info["torque"]` is the torque applied. The
      limit of 5 N m barely exceeds the weight of the level pendulum, 4.905 N m.
    * `info["state"]` `(2,)`: [theta, theta_dot] in [rad], [rad/s]; the angle is not wrapped.
    * Reward: -time_step * (|tip - upright|^2 / l^2 + 0.1 theta_dot^2) of the state reached.
    * An episode never terminates; through `gymnasium.make` it is truncated after 200 steps (10 s).
    * `reset` hangs the pendulum within 0.2 rad and 0.5 rad/s of rest, uniformly; `options={"state": [...]}` sets theta
      and theta_dot.

    `data_box` is the region of (theta, theta_dot) in which data are collected.
    """

    plant = "pendulum"
    state_size = 2

    def __init__(
        self, render_mode: str | None = None, parameters: PendulumParameters | Mapping[str, float] | None = None
    ) -> None:
        self.parameters = read_parameters(PendulumParameters, parameters, self.plant)
        self.time_step, limit = self.parameters.time_step, self.parameters.torque_limit
        super().__init__(render_mode, spaces.Box(-limit, limit, (1,), np.float64))
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.data_box = spaces.Box(np.array(STATE_BOX_LOW), np.array(STATE_BOX_HIGH), dtype=np.float64)

    def _random_state(self) -> FloatArray:
        return self.np_random.uniform(_RESET_LOW, _RESET_HIGH)

    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        after: FloatArray = pendulum_step(state, control, self.parameters, np)
        return after

    def _observation(self, state: FloatArray) -> FloatArray:
        observed: FloatArray = keypoints(state, self.parameters, np)
        return observed

    def _reward(self, state: FloatArray, control: FloatArray) -> float:
        return -self.time_step * float(swing_up_cost(self._observation(state), self.parameters))

    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        return {"state": state.copy()} | ({} if control is None else {"torque": float(control[0])})

    def _open_renderer(self, window: bool) -> Renderer:
        from trajopt_sgp.envs.pendulum_renderer import PendulumRenderer

        return PendulumRenderer(self.parameters, window)
