"""Pushing a box on a table as a Gymnasium environment that shows keypoints, as motion capture does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.parameters import read_parameters
from trajopt_sgp.envs.plant import PlantEnv, Renderer
from trajopt_sgp.envs.pusher_equations import (
    KEYPOINT_STATE_SIZE,
    NUMPY,
    STATE_SIZE,
    PusherParameters,
    box_keypoints,
    nearest_contact,
    pusher_step,
)
from trajopt_sgp.errors import OptionError

WORKSPACE_LOW, WORKSPACE_HIGH = (0.3, -0.4), (1.0, 0.4)
"""Corners of the part of the table in which pusher and box should stay [m]."""
TABLE = WORKSPACE_LOW, WORKSPACE_HIGH
_CLEARANCE = 0.005


@dataclass(frozen=True)
class PusherRandomization:
    """What differs from episode to episode, and the noise of the motion capture."""

    friction_low: float = 0.1
    """Least coefficient of friction between pusher and box."""
    friction_high: float = 0.5
    """Largest."""
    pressure_spread: float = 0.25
    """How far the distance of the pressure from the centre is from its nominal value at most, as a share."""
    side_spread: float = 0.03
    """How far each side of the box is from its nominal value at most, as a share."""
    noise: float = 0.0003
    """Standard deviation of each coordinate of a keypoint [m]."""

    def __post_init__(self) -> None:
        shares = self.pressure_spread, self.side_spread
        if not (0.0 < self.friction_low <= self.friction_high and all(0.0 <= s < 1.0 for s in shares)):
            raise OptionError(f"{self}: friction must be positive and in order, spreads in [0, 1).")
        if not 0.0 <= self.noise < float("inf"):
            raise OptionError(f"{self}: the noise must be finite and not negative.")


class PlanarPusherEnv(PlantEnv):
    """Push a box so that its keypoints come to where they shall be.

    * Observation `(12,)`, float64: five keypoints [x0, y0, ..., x4, y4] and the pusher [x, y], all in [m]. The
      keypoints, corners and centre, have Gaussian noise, drawn once for every step; the pusher has none.
    * Action `(2,)`, float64: the displacement of the pusher [m] over a step of 0.5 s; a longer one than 0.05 m is
      shortened to that length. `info["step"]` is what was applied.
    * `info["state"]` `(5,)`: box x, y, angle and pusher x, y, free of noise; `info["plant"]`, the parameters of the
      episode; `info["error"]`, the mean distance [m] of the true keypoints to the goal.
    * Reward: minus the error of the state reached.
    * An episode never terminates; through `gymnasium.make` it is truncated after 100 steps (50 s).
    * `reset` draws friction, distribution of pressure and size of the box, box and goal in the middle of the table and
      the pusher near the box. `options` may set the `state` (5,), the `goal` pose (3,), and `nominal`: True keeps the
      nominal parameters for the episode.

    `data_box` is where keypoints and pusher should stay.
    """

    plant = "pusher"
    state_size = STATE_SIZE
    reset_options: ClassVar[tuple[str, ...]] = ("state", "goal", "nominal")
    random_type: ClassVar[type[PusherRandomization]] = PusherRandomization
    """What says how episodes differ."""
    pusher_box: ClassVar[tuple[tuple[float, float], tuple[float, float]]] = TABLE
    """Corners of where the pusher should stay [m]."""
    box_low: ClassVar[tuple[float, float]] = (0.5, -0.2)
    box_high: ClassVar[tuple[float, float]] = (0.8, 0.2)
    """Corners of where boxes and goals of random episodes have their centres [m]."""
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 2}  # noqa: RUF012 (Gymnasium)

    def __init__(
        self,
        render_mode: str | None = None,
        parameters: PusherParameters | Mapping[str, float] | None = None,
        randomization: PusherRandomization | Mapping[str, float] | None = None,
    ) -> None:
        self.nominal = self.parameters = read_parameters(PusherParameters, parameters, self.plant)
        self.randomization = read_parameters(self.random_type, randomization, "pusher randomization")
        self.time_step, limit = self.parameters.time_step, self.parameters.step_limit
        super().__init__(render_mode, spaces.Box(-limit, limit, (2,), np.float64))
        self.observation_space = spaces.Box(-np.inf, np.inf, (KEYPOINT_STATE_SIZE,), np.float64)
        low, high = ([*np.tile(table, 5), *own] for table, own in zip(TABLE, self.pusher_box, strict=True))
        self.data_box = spaces.Box(np.array(low), np.array(high), dtype=np.float64)
        self.goal = np.array([0.65, 0.0, 0.0])

    def keypoints(self, pose: FloatArray) -> FloatArray:
        """Return the keypoints `(10,)` of the box of this episode in a pose `(3,)`, free of noise."""
        return np.array(box_keypoints(pose[:3], self.parameters, NUMPY))

    def may_start(self, pose: FloatArray, pusher: FloatArray, clearance: float) -> bool:
        """Return whether the pusher `(2,)` is where it should stay, and so far [m] from a box in a pose `(3,)`."""
        low, high = self.pusher_box
        inside = bool(((pusher >= low) & (pusher <= high)).all())
        return inside and pusher_gap(pose, pusher, self.parameters) > clearance

    def _begin(self, options: dict[str, Any]) -> None:
        self.parameters = self.nominal if options.get("nominal") else self._random_parameters()
        given = options.get("goal")
        self.goal = self._random_pose() if given is None else self._finite(given, 3, "goal")

    def _random_parameters(self) -> PusherParameters:
        ranges, draw = self.randomization, self.np_random.uniform
        pressure, *sides = draw(-1.0, 1.0, 3)
        return replace(
            self.nominal,
            friction=float(draw(ranges.friction_low, ranges.friction_high)),
            pressure=self.nominal.pressure * float(1.0 + ranges.pressure_spread * pressure),
            side_x=self.nominal.side_x * float(1.0 + ranges.side_spread * sides[0]),
            side_y=self.nominal.side_y * float(1.0 + ranges.side_spread * sides[1]),
        )

    def _random_pose(self) -> FloatArray:
        place = self.np_random.uniform(self.box_low, self.box_high)
        return np.array([*place, self.np_random.uniform(-np.pi, np.pi)])

    def _random_state(self) -> FloatArray:
        pose = self._random_pose()
        while True:
            pusher = pose[:2] + self.np_random.uniform(-0.2, 0.2, 2)
            if self.may_start(pose, pusher, _CLEARANCE):
                return np.concatenate([pose, pusher])

    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        return np.array(pusher_step(tuple(state), tuple(control), 0.0, self.parameters, NUMPY))

    def _observation(self, state: FloatArray) -> FloatArray:
        points = self.keypoints(state)
        return np.concatenate([points + self.randomization.noise * self.np_random.standard_normal(10), state[3:]])

    def _limited(self, control: FloatArray) -> FloatArray:
        return control * min(1.0, self.parameters.step_limit / max(float(np.hypot(*control)), 1e-12))

    def _shown_control(self, control: FloatArray) -> Any:
        return control, self.parameters, self.goal

    def _error(self, state: FloatArray) -> float:
        missing = (self.keypoints(state) - self.keypoints(self.goal)).reshape(5, 2)
        return float(np.hypot(missing[:, 0], missing[:, 1]).mean())

    def _reward(self, state: FloatArray, control: FloatArray) -> float:
        return -self._error(state)

    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        told = {"state": state.copy(), "plant": self.parameters, "error": self._error(state), "goal": self.goal.copy()}
        return told | ({} if control is None else {"step": control})

    def _open_renderer(self, window: bool) -> Renderer:
        from trajopt_sgp.envs.planar_pusher_renderer import PlanarPusherRenderer

        return PlanarPusherRenderer(window)


def pusher_gap(pose: FloatArray, pusher: FloatArray, plant: PusherParameters) -> float:
    """Return the distance [m] between the surfaces of box and pusher."""
    cosine, sine = np.cos(pose[2]), np.sin(pose[2])
    x, y = pusher - pose[:2]
    return float(nearest_contact((cosine * x + sine * y, cosine * y - sine * x), plant, NUMPY).gap)
