"""What every plant has in common as a Gymnasium environment: states set on reset, clipped controls, pictures."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError

Observation = AnyArray
"""float64; float32 where a plant shows pictures."""


@runtime_checkable
class Renderer(Protocol):
    """Draws states of one plant."""

    def draw(self, state: ArrayLike, control: Any, time: float, /) -> NDArray[np.uint8]:
        """Return the image of a state after `time` [s], `(height, width, 3)`; control as `_shown_control` gives it."""
        ...

    def close(self) -> None:
        """Close the window, if there is one."""
        ...


class PlantEnv(gymnasium.Env[Observation, FloatArray], ABC):
    """A plant stepped by its own equations; a subclass says which, and sets its spaces.

    A control outside the action space is clipped to it, as Gymnasium's classic control tasks do; one of another shape,
    or NaN, is refused. An episode never terminates by itself. `reset` takes `options={"state": [...]}`.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium)
    plant: ClassVar[str]
    """Name of the plant in messages."""
    state_size: int
    """Number of coordinates of the state, which need not be those observed."""
    reset_options: ClassVar[tuple[str, ...]] = ("state",)
    """Names of the options that `reset` takes."""
    time_step: float
    """Duration of one step [s]."""
    data_box: spaces.Box
    """The region of the state space in which data are collected; nothing stops the plant from leaving it."""

    def __init__(self, render_mode: str | None, actions: spaces.Box) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise OptionError(f"Unknown render mode {render_mode!r}; choose from {self.metadata['render_modes']}.")
        self.render_mode = render_mode
        self.action_space: spaces.Space[Any] = actions
        self._actions = actions
        self._state: FloatArray | None = None
        self._control: FloatArray | None = None
        self._steps = 0
        self._renderer: Renderer | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode in `options["state"]` if given, else in a random state.

        Raises:
            OptionError: an option that is none of `reset_options`.
            ShapeError: the state has another shape.
            NotFiniteError: the state holds NaN or infinity.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := sorted(set(options) - set(self.reset_options)):
            raise OptionError(f"Unknown reset option {unknown[0]!r}; the only ones are {list(self.reset_options)}.")
        self._begin(options)
        if "state" in options:
            self._state = self._finite(options["state"], self.state_size, "reset state")
        else:
            self._state = self._random_state()
        self._control, self._steps = None, 0
        if self.render_mode == "human":
            self.render()
        return self._observation(self._state), self._info(self._state, None)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply a control for one time step.

        Raises:
            ShapeError: the action has another shape.
            NotFiniteError: the action is NaN or infinite, or the motion has grown beyond floating-point numbers.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset before step.")
        given = self._finite(action, self._actions.shape[0], "action")
        control = self._limited(given)
        self._control, self._state = control, self._next_state(self._state, control)
        self._steps += 1
        reward = self._reward(self._state, control)
        if not math.isfinite(reward):
            raise NotFiniteError(f"The {self.plant} has left the range of floating-point numbers: {self._state}.")
        if self.render_mode == "human":
            self.render()
        return self._observation(self._state), reward, False, False, self._info(self._state, control)

    def render(self) -> Any:
        """Draw the present state: an image `(height, width, 3)` of uint8 for `rgb_array`, a window for `human`."""
        if self.render_mode is None:
            raise OptionError(f"Nothing to render: choose a render_mode from {self.metadata['render_modes']}.")
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset before render.")
        if self._renderer is None:
            self._renderer = self._open_renderer(window=self.render_mode == "human")
        control = np.zeros(self._actions.shape) if self._control is None else self._control
        frame = self._renderer.draw(self._state, self._shown_control(control), self._steps * self.time_step)
        return frame if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @abstractmethod
    def _random_state(self) -> FloatArray:
        """Draw the first state of an episode from `np_random`."""

    @abstractmethod
    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        """Return the state one time step later."""

    @abstractmethod
    def _reward(self, state: FloatArray, control: FloatArray) -> float:
        """Return the reward for the state reached under a control."""

    @abstractmethod
    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        """Return what is told besides the observation; there is no control on reset."""

    @abstractmethod
    def _open_renderer(self, window: bool) -> Renderer:
        """Return what draws this plant; import it only here, so that only those who draw need pygame."""

    def _begin(self, options: dict[str, Any]) -> None:
        """Prepare an episode with the options given to `reset`, before its first state is set."""

    def _limited(self, control: FloatArray) -> FloatArray:
        """Return the control that is applied where `control` is asked for."""
        limited: FloatArray = np.clip(control, self._actions.low, self._actions.high)
        return limited

    def _shown_control(self, control: FloatArray) -> Any:
        """Return what the renderer is told of a control: its first coordinate."""
        return float(control[0])

    def _observation(self, state: FloatArray) -> Observation:
        return state.copy()

    def _finite(self, values: ArrayLike, size: int, name: str) -> FloatArray:
        try:
            vector = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ShapeError(f"The {name} of the {self.plant} must be {size} numbers, not {values!r}.") from error
        if vector.shape != (size,):
            raise ShapeError(f"The {name} of the {self.plant} has shape ({size},), not {vector.shape}.")
        if not all(map(math.isfinite, vector.tolist())):
            raise NotFiniteError(f"The {name} of the {self.plant} must be finite, not {vector}.")
        return vector
