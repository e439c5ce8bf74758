"""Pushing a box with the simulated arm as a Gymnasium environment, with the spaces of the planar pusher."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PlanarPusherEnv, PusherRandomization
from trajopt_sgp.envs.planar_pusher import pusher_gap
from trajopt_sgp.envs.pusher_equations import PusherParameters
from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.arm import VERTICAL_POSE, ArmKinematics, ArmSimulation, BoxParameters
from trajopt_sgp.hardware.safety import iiwa_limits
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot

TIP_HEIGHT = 0.02
"""Of the pusher's tip above the table [m]."""
MOVING = 0.8
"""Share of an action in which the commanded pusher moves; in the rest it waits for the arm, which is late."""
_AHEAD = 0.02
_YIELDING = 0.005
_NEWTON_STEPS = 200


@dataclass(frozen=True)
class ArmRandomization(PusherRandomization):
    """What differs from episode to episode; the pressure under the box is uniform, by its feet."""

    pressure_spread: float = 0.0
    """Nothing but 0."""
    mass_low: float = 0.3
    """Least mass of the box [kg]."""
    mass_high: float = 1.0
    """Largest."""
    table_friction_low: float = 0.2
    """Least coefficient of friction between box and table."""
    table_friction_high: float = 0.6
    """Largest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        masses, frictions = (self.mass_low, self.mass_high), (self.table_friction_low, self.table_friction_high)
        if not all(0.0 < low <= high < float("inf") for low, high in (masses, frictions)):
            raise OptionError(f"{self}: masses and frictions must be positive and in order.")
        if self.pressure_spread:
            raise OptionError("The feet of the box spread the pressure evenly: pressure_spread must be 0.")


class ArmPusherEnv(PlanarPusherEnv):
    """`PlanarPusherEnv` with the arm in MuJoCo in place of the equations.

    Observations, actions, noise, rewards and options are those of `PlanarPusherEnv`. An action is a displacement of
    the *commanded* pusher through kinematics and safety filter, a command every 5 ms, 100 in an action: at even speed
    in the first four fifths, then waiting for the arm, which is late. The pusher observed is where the measured joints
    put it; the filter may reduce what is asked for.

    * `info["interventions"]`: how often the filter did what in this action; `info["time"]`, simulated [s];
      `info["shortfall"]`, from where the action wanted the pusher to where it was commanded in the end [m].
    * `reset` also draws mass of the box and friction of the table: `ArmRandomization`, `box`.
    * The pusher stays in `pusher_box`, which is what the arm reaches with the pusher vertical.
    """

    plant = "arm pusher"
    random_type = ArmRandomization
    pusher_box: ClassVar[tuple[tuple[float, float], tuple[float, float]]] = (0.42, -0.28), (0.76, 0.28)
    box_low: ClassVar[tuple[float, float]] = (0.52, -0.15)
    box_high: ClassVar[tuple[float, float]] = (0.66, 0.15)
    randomization: ArmRandomization

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start an episode with the arm at rest; as `PlanarPusherEnv.reset`.

        Raises:
            OptionError: also for a state whose pusher is outside `pusher_box` or in the box.
        """
        started = super().reset(seed=seed, options=options)
        self._place(started[1]["state"])
        return started

    @property
    def robot(self) -> SimulatedRobot:
        """The arm of this episode."""
        return self._robot

    def _begin(self, options: dict[str, Any]) -> None:
        self.box = BoxParameters()
        super()._begin(options)
        plant = self.parameters
        self.box = replace(
            self.box,
            size=(plant.side_x, plant.side_y, self.box.size[2]),
            pusher_friction=plant.friction,
            pusher_radius=plant.radius,
        )
        if "state" in options:
            self._check_start(self._finite(options["state"], self.state_size, "reset state"))

    def _check_start(self, state: FloatArray) -> None:
        pose, pusher = state[:3], state[3:]
        (west, south), (east, north) = self.pusher_box
        if not (west <= pusher[0] <= east and south <= pusher[1] <= north):
            reach = f"x must be {west} to {east}, y {south} to {north} m"
            raise OptionError(f"The arm cannot begin with the pusher at {pusher} m: {reach}.")
        # where they touch they give way a little
        if (gap := pusher_gap(pose, pusher, self.parameters)) < -_YIELDING:
            raise OptionError(
                f"The pusher cannot begin at {pusher} m: it would be {-1000 * gap:.0f} mm deep in the box."
            )

    def _random_parameters(self) -> PusherParameters:
        ranges, draw = self.randomization, self.np_random.uniform
        mass = float(draw(ranges.mass_low, ranges.mass_high))
        friction = float(draw(ranges.table_friction_low, ranges.table_friction_high))
        self.box = replace(self.box, mass=mass, table_friction=friction)
        return super()._random_parameters()

    def _place(self, state: FloatArray) -> None:
        simulation, kinematics = ArmSimulation(self.box), ArmKinematics(iterations=_NEWTON_STEPS)
        self._wanted = np.array([*state[3:], TIP_HEIGHT])
        x, y, angle = state[:3]
        simulation.reset(kinematics.solve_joints(self._wanted, VERTICAL_POSE), (x, y, angle))
        (west, south), (east, north) = self.pusher_box
        self._robot = SimulatedRobot(simulation, iiwa_limits(((west, east), (south, north)), fraction=0.5))
        self._robot.connect()
        self._done: Counter[str] = Counter()

    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        begin = self._anchor()
        ticks = round(self.time_step / self._robot.limits.period)
        before = Counter(self._robot.safety.counts)
        for tick in range(1, ticks + 1):
            self._wanted = begin + min(1.0, tick / (MOVING * ticks)) * np.array([*control, 0.0])
            self._robot.send_action(self._wanted)
        self._done = Counter(self._robot.safety.counts) - before
        measured = self._robot.get_observation()
        return np.concatenate([measured.box, measured.tip[:2]])

    def _anchor(self) -> FloatArray:
        """Return where the action begins: where the last one ended, as far as the filter went along."""
        sent = self._robot.safety.pusher
        if sent is None:
            return self._wanted
        anchor: FloatArray = np.clip(self._wanted, sent.position - _AHEAD, sent.position + _AHEAD)
        return np.clip(anchor, self._robot.limits.pusher.low, self._robot.limits.pusher.high)

    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        told = super()._info(state, control)
        if control is None:
            return told | {"interventions": {}, "time": 0.0, "shortfall": 0.0}
        sent, seen = self._robot.safety.pusher, self._robot.get_observation()
        shortfall = float(np.linalg.norm(self._wanted - (seen.tip if sent is None else sent.position)))
        return told | {"interventions": dict(self._done), "time": seen.time, "shortfall": shortfall}
