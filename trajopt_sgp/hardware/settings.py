"""All settings of a robot on the bus in one place, read from a file."""

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.files import write_json
from trajopt_sgp.hardware.safety import SafetyLimits, iiwa_limits
from trajopt_sgp.hardware.safety.iiwa import HEIGHT, WORKSPACE

SUGAR_BOX_KEYPOINTS = ((0.04335, 0.08515), (-0.04335, 0.08515), (-0.04335, -0.08515), (0.04335, -0.08515), (0.0, 0.0))
"""Corners and centre of the box in its own frame [m]."""

_POSITIVE = (
    "period",
    "action_duration",
    "frame_period",
    "state_age",
    "plan_age",
    "plan_distance",
    "keypoint_age",
    "plan_period",
    "plan_time",
    "goal_tolerance",
    "joint_fraction",
    "torque_fraction",
    "heartbeat_period",
    "heartbeat_age",
    "frozen_motion",
    "clock_jump",
    "marker_residual",
    "marker_jump",
    "simulated_mass",
)
_NOT_NEGATIVE = ("beta", "start_guard", "simulated_table_friction", "simulated_pusher_friction")
_FRACTIONS = ("joint_fraction", "torque_fraction")


@dataclass(frozen=True)
class HardwareSettings:
    """What simulator, tracker and planner have to agree on.

    Attributes:
        url: Of LCM; with ttl 0 no packet leaves the machine.
        status_channel, command_channel, frame_channel: Of the driver and of the motion capture.
        plan_channel, safety_channel, timing_channel, event_channel: Between the processes of this package.
        period: Time between two commands [s].
        action_duration: How long one action lasts, in data, training, planner and tracker alike [s].
        frame_period: Time between two frames of motion capture [s].
        planner: Where the planner comes from: module:function.
        goal: Of the box, for planners that have one: x, y [m], angle [rad].
        goal_tolerance: Mean distance of the keypoints from the goal at which such a planner rests [m].
        plan_period: Time from the beginning of one planning to that of the next [s]; what it is below the action
            duration is left for being late.
        plan_time: Within which a plan is to be made and sent [s].
        dynamics_file, score_file: Of the score-guided planner's models; without a score there is no price for leaving
            the data.
        beta: Of that price.
        search: How the score-guided planner improves its best starts: by `samples`, or along `gradients`, of which each
            step takes longer.
        workspace, height: Ends of x and y, and of z, of the pusher's tip [m].
        speed, acceleration: Largest ones of the tip [m/s], [m/s²].
        joint_fraction: What part of the arm's joint speeds may be used.
        torque_fraction: At what part of the driver's own limits of external torque the arm is stopped.
        state_age, plan_age, keypoint_age: Greatest ages of status, plan and motion capture [s].
        plan_distance: How far from the pusher a plan may be when it comes, to be followed [m].
        heartbeat_period: Time between two signs of life of the planner [s].
        heartbeat_age: How long it may give none, if it has ever given one [s].
        start_guard: How long nothing is sent after the first status; the driver exits at a command within 0.25 s [s].
        frozen_motion: How far commanded joints may move while the measured ones do not change at all [rad].
        clock_jump: Largest change of the driver's clock against this machine's [s].
        box_asset: Name of the box in motion capture; may be empty where nothing else is seen.
        box_keypoints: Markers in the frame of the box, each x, y [m], in the order of the marker set.
        marker_residual: Largest root mean square distance of markers from their places on a rigid box [m].
        marker_jump: Largest motion of a marker between two frames [m].
        robot_from_mocap: Rows of the homogeneous matrix that takes points of motion capture to the robot's frame.
        priority, planner_priority, simulator_priority: Of SCHED_FIFO for the processes; 0 leaves the scheduler alone.
            The planner's should be below the tracker's.
        simulated_box: Where the simulator begins with the box: x, y [m], angle [rad].
        simulated_tip: And with the pusher's tip: x, y, z [m]; at its usual pose if empty.
        simulated_mass, simulated_table_friction, simulated_pusher_friction: Of the box in the simulator [kg].
    """

    url: str = "udpm://239.255.76.67:7667?ttl=0"
    status_channel: str = "IIWA_STATUS"
    command_channel: str = "IIWA_COMMAND"
    frame_channel: str = "OPTITRACK_FRAMES"
    plan_channel: str = "PLAN"
    safety_channel: str = "SAFETY"
    timing_channel: str = "TIMING"
    event_channel: str = "EVENT"
    period: float = 0.005
    action_duration: float = 0.5
    frame_period: float = 0.01
    planner: str = "trajopt_sgp.hardware.processes.sway:make_sway"
    goal: tuple[float, float, float] = (0.7, 0.0, 0.0)
    goal_tolerance: float = 0.015
    plan_period: float = 0.44
    plan_time: float = 0.3
    dynamics_file: str = ""
    score_file: str = ""
    beta: float = 1.0
    search: str = "samples"
    workspace: tuple[tuple[float, float], tuple[float, float]] = WORKSPACE
    height: tuple[float, float] = HEIGHT
    speed: float = 0.15
    acceleration: float = 1.0
    joint_fraction: float = 0.25
    torque_fraction: float = 0.5
    state_age: float = 0.08
    plan_age: float = 1.0
    plan_distance: float = 0.1
    keypoint_age: float = 0.08
    heartbeat_period: float = 0.05
    heartbeat_age: float = 0.3
    start_guard: float = 0.5
    frozen_motion: float = 0.003
    clock_jump: float = 0.5
    box_asset: str = ""
    box_keypoints: tuple[tuple[float, float], ...] = SUGAR_BOX_KEYPOINTS
    marker_residual: float = 0.003
    marker_jump: float = 0.02
    robot_from_mocap: tuple[tuple[float, ...], ...] = (
        (1.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 1.0),
    )
    priority: int = 0
    planner_priority: int = 0
    simulator_priority: int = 0
    simulated_box: tuple[float, float, float] = (0.75, 0.0, 0.0)
    simulated_tip: tuple[float, ...] = ()
    simulated_mass: float = 0.514
    simulated_table_friction: float = 0.35
    simulated_pusher_friction: float = 0.3

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_places()
        self._check_markers()

    def _check_numbers(self) -> None:
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < np.inf:
                raise OptionError(f"{name} must be positive and finite, not {getattr(self, name)}.")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < np.inf:
                raise OptionError(f"{name} must be finite and not negative, not {getattr(self, name)}.")
        for name in _FRACTIONS:
            if getattr(self, name) > 1:
                raise OptionError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}.")
        if not self.plan_time <= self.plan_period <= self.action_duration:
            raise OptionError("plan_time must be at most plan_period, and that at most action_duration.")

    def _check_places(self) -> None:
        for name in ("goal", "simulated_box"):
            if np.shape(getattr(self, name)) != (3,) or not np.isfinite(getattr(self, name)).all():
                raise OptionError(f"{name} must be x, y and an angle, not {getattr(self, name)}.")
        if len(self.simulated_tip) not in (0, 3) or not np.isfinite(self.simulated_tip).all():
            raise OptionError(f"simulated_tip must be x, y and z, or nothing, not {self.simulated_tip}.")

    def _check_markers(self) -> None:
        if np.shape(self.robot_from_mocap) != (4, 4) or not _moves_rigidly(np.array(self.robot_from_mocap)):
            raise OptionError(
                "robot_from_mocap must be four rows of four numbers: a rotation and a shift [m], and in the last row "
                "0, 0, 0, 1."
            )
        if len(self.box_keypoints) < 3 or np.shape(self.box_keypoints)[1:] != (2,):
            raise OptionError("box_keypoints must be at least three pairs of numbers.")
        if not np.isfinite(self.box_keypoints).all():
            raise OptionError("box_keypoints must be at least three pairs of finite numbers.")
        if not np.ptp(self.box_keypoints, axis=0).max() > 0:
            raise OptionError("box_keypoints must not all be at one point.")

    @property
    def limits(self) -> SafetyLimits:
        """Those of the safety filter."""
        motion = self.workspace, self.height, self.speed, self.acceleration
        limits = iiwa_limits(*motion, self.joint_fraction, self.torque_fraction)
        return dataclasses.replace(limits, period=self.period, state_age=self.state_age, plan_age=self.plan_age)


def read_settings(path: Path | None) -> HardwareSettings:
    """Return settings from a TOML or JSON file with names of `HardwareSettings`; the defaults without a file.

    Raises:
        FileError: the file cannot be read.
        OptionError: it holds an unknown name or a wrong value.
    """
    return settings_from(_read(path)) if path else HardwareSettings()


def settings_from(values: dict[str, Any]) -> HardwareSettings:
    """Return settings with some values changed.

    Raises:
        OptionError: an unknown name or a value of another kind.
    """
    kinds = {field.name: type(field.default) for field in dataclasses.fields(HardwareSettings)}
    if unknown := sorted(set(values) - set(kinds)):
        raise OptionError(f"Unknown settings {', '.join(unknown)}; choose from {', '.join(kinds)}.")
    return HardwareSettings(**{name: _value(name, kinds[name], value) for name, value in values.items()})


def write_settings(settings: HardwareSettings, path: Path) -> None:
    """Write all settings as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, dataclasses.asdict(settings))


def _moves_rigidly(matrix: FloatArray) -> bool:
    """Return whether a homogeneous matrix `(4, 4)` keeps all distances and mirrors nothing, to 1e-3."""
    rotation = matrix[:3, :3]
    turns = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    return bool(np.isfinite(matrix).all() and turns and (matrix[3] == (0.0, 0.0, 0.0, 1.0)).all())


def _value(name: str, kind: type, value: Any) -> Any:
    value = _tuples(value)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise OptionError(f"{name} must be a {kind.__name__}, not {value!r}.")
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(element) for element in value) if isinstance(value, (list, tuple)) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    try:
        if path.suffix == ".json":
            found: dict[str, Any] = json.loads(text)
            return found
        if path.suffix == ".toml" and sys.version_info >= (3, 11):
            import tomllib

            return tomllib.loads(text)
    except ValueError as error:
        raise FileError(f"{path} cannot be read: {error}.") from error
    raise FileError(f"{path} must be a .json file, or with Python 3.11 a .toml file.")
