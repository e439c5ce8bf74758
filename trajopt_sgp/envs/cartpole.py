"""The cart-pole swing-up as a Gymnasium environment: the plant that plans are judged on."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.envs.cartpole_equations import (
    STATE_BOX_HIGH,
    STATE_BOX_LOW,
    CartPoleParameters,
    cartpole_accelerations,
    swing_up_cost,
)
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.models.integrators import midpoint

if TYPE_CHECKING:
    from trajopt_sgp.envs.cartpole_renderer import CartPoleRenderer

FloatArray = NDArray[np.float64]

_RESET_LOW = np.array((-1.0, 0.0, -0.5, -0.5))
_RESET_HIGH = np.array((1.0, 0.0, 0.5, 0.5))


class CartPoleSwingUpEnv(gymnasium.Env[FloatArray, FloatArray]):
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

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium)

    def __init__(
        self, render_mode: str | None = None, parameters: CartPoleParameters | Mapping[str, float] | None = None
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise OptionError(f"Unknown render mode {render_mode!r}; choose from {self.metadata['render_modes']}.")
        self.render_mode = render_mode
        self.parameters = _read_parameters(parameters)
        limit = self.parameters.force_limit
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.action_space = spaces.Box(-limit, limit, (1,), np.float64)
        self.data_box = spaces.Box(np.array(STATE_BOX_LOW), np.array(STATE_BOX_HIGH), dtype=np.float64)
        self._state: FloatArray | None = None
        self._force = 0.0
        self._steps = 0
        self._renderer: CartPoleRenderer | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start an episode in `options["state"]` `(4,)` if given, else in a random hanging state.

        Raises:
            OptionError: an option other than `state`.
            ShapeError: the state is not of shape `(4,)`.
            NotFiniteError: the state holds NaN or infinity.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := sorted(set(options) - {"state"}):
            raise OptionError(f"Unknown reset option {unknown[0]!r}; the only one is 'state'.")
        if "state" in options:
            self._state = _finite_vector(options["state"], 4, "reset state")
        else:
            self._state = self.np_random.uniform(_RESET_LOW, _RESET_HIGH)
        self._force, self._steps = 0.0, 0
        if self.render_mode == "human":
            self.render()
        return self._state.copy(), {}

    def step(self, action: ArrayLike) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Apply a force `(1,)` [N] for one time step.

        Raises:
            ShapeError: the action is not of shape `(1,)`.
            NotFiniteError: the action is NaN or infinite, or the motion has grown beyond floating-point numbers.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset before step.")
        self._force = self._applied_force(action)
        self._state = midpoint(self._derivative, self._state, self._force, self.parameters.time_step)
        self._steps += 1
        reward = -self.parameters.time_step * swing_up_cost(*self._state.tolist())
        if not math.isfinite(reward):
            raise NotFiniteError(f"The cart-pole has left the range of floating-point numbers: {self._state}.")
        if self.render_mode == "human":
            self.render()
        return self._state.copy(), reward, False, False, {"force": self._force}

    def render(self) -> Any:
        """Draw the present state: an image `(height, width, 3)` of uint8 for `rgb_array`, a window for `human`."""
        if self.render_mode is None:
            raise OptionError(f"Nothing to render: choose a render_mode from {self.metadata['render_modes']}.")
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset before render.")
        frame = self._open_renderer().draw(self._state, self._force, self._steps * self.parameters.time_step)
        return frame if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _open_renderer(self) -> "CartPoleRenderer":
        if self._renderer is None:
            # pygame is imported only by those who draw
            from trajopt_sgp.envs.cartpole_renderer import CartPoleRenderer

            self._renderer = CartPoleRenderer(self.parameters, window=self.render_mode == "human")
        return self._renderer

    def _applied_force(self, action: ArrayLike) -> float:
        force = float(_finite_vector(action, 1, "action")[0])
        limit = self.parameters.force_limit
        return min(max(force, -limit), limit)

    def _derivative(self, state: FloatArray, force: float) -> FloatArray:
        # scalar sine and cosine: several times faster than NumPy on four numbers
        _, theta, p_dot, theta_dot = state.tolist()
        p_ddot, theta_ddot = cartpole_accelerations(theta, theta_dot, force, self.parameters, math.sin, math.cos)
        return np.array((p_dot, theta_dot, p_ddot, theta_ddot))


def _read_parameters(parameters: CartPoleParameters | Mapping[str, float] | None) -> CartPoleParameters:
    """Accept a mapping too: only plain values survive in an environment specification stored with a dataset."""
    if isinstance(parameters, CartPoleParameters):
        return parameters
    given = dict(parameters or {})
    valid = CartPoleParameters.__dataclass_fields__
    if unknown := sorted(set(given) - set(valid)):
        raise OptionError(f"Unknown cart-pole parameter {unknown[0]!r}; choose from {sorted(valid)}.")
    return CartPoleParameters(**given)


def _finite_vector(values: ArrayLike, size: int, name: str) -> FloatArray:
    try:
        vector = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"The {name} of the cart-pole must be {size} numbers, not {values!r}.") from error
    if vector.shape != (size,):
        raise ShapeError(f"The {name} of the cart-pole has shape ({size},), not {vector.shape}.")
    if not all(map(math.isfinite, vector.tolist())):
        raise NotFiniteError(f"The {name} of the cart-pole must be finite, not {vector}.")
    return vector
