"""Conformance of robots: a small motion, every way to stop, and what must be true of every decision."""

from collections.abc import Iterator

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ConformanceError, HardwareError, ShapeError
from trajopt_sgp.hardware.robot import Robot
from trajopt_sgp.hardware.safety import Mode, SafetyDecision, SafetyLimits

_TICKS = 60
_PATIENCE = 1000


def check_robot(robot: Robot, distance: float = 0.01) -> None:
    """Connect to a robot, move its pusher by a little, stop it in every way, and check what `Robot` promises.

    What is sent must be finite, within the limits and no faster than they allow, whatever is wanted; a stop must hold
    until something else is wanted, an emergency stop until `reset`; and nothing may be sent without a connection. On a
    real arm it takes a few seconds, with a hand on the emergency stop and nothing within `distance` of the pusher.

    Args:
        robot: What to check; not connected, and its pusher within its workspace.
        distance: How far the pusher is moved [m].

    Raises:
        ConformanceError: names the fault.
        HardwareError: there is nothing to connect to.
    """
    _check_offline(robot)
    with robot:
        _require(robot.is_connected, "is_connected is False within a with statement.")
        _check_observation(robot)
        last = _check_start(robot)
        last = _check_wrong_shape(robot, last)
        last = _check_motion(robot, last, distance)
        last = _check_not_finite(robot, last)
        last = _check_stop(robot, last)
        _check_emergency_stop(robot, last)
    _require(not robot.is_connected, "is_connected is True after a with statement.")
    robot.disconnect()
    _check_unconnected(robot)
    _check_error_passes(robot)


def _require(promise: object, fault: str) -> None:
    if not promise:
        raise ConformanceError(fault)


def _check_offline(robot: Robot) -> None:
    _require(isinstance(robot, Robot), f"{type(robot).__name__} lacks {', '.join(_missing(robot))}.")
    _require(isinstance(robot.limits, SafetyLimits), f"limits are a {type(robot.limits).__name__}, no SafetyLimits.")
    _require(dict(robot.action_features) == {"pusher": (3,)}, f"action_features are {dict(robot.action_features)}.")
    _require("tip" in robot.observation_features, "observation_features have no tip.")
    _require(not robot.is_connected, "The robot is connected before connect.")
    _check_unconnected(robot)


def _missing(robot: object) -> Iterator[str]:
    named = (name for name in (*Robot.__annotations__, *vars(Robot)) if not name.startswith("_"))
    return (name for name in (*named, "__enter__", "__exit__") if not hasattr(robot, name))


def _check_unconnected(robot: Robot) -> None:
    middle = (robot.limits.pusher.low + robot.limits.pusher.high) / 2
    try:
        robot.send_action(middle)
    except HardwareError:
        return
    raise ConformanceError("send_action without a connection raises no HardwareError.")


def _check_observation(robot: Robot) -> None:
    seen = robot.get_observation()
    for name, shape in robot.observation_features.items():
        found = np.shape(getattr(seen, name, ()))
        _require(found == shape, f"The observation has {name} of shape {found}; observation_features say {shape}.")
    _require(np.isfinite(seen.tip).all(), f"The tip is at {seen.tip}.")


def _check_start(robot: Robot) -> SafetyDecision:
    """The first command is where the arm is."""
    before = robot.get_observation()
    decision = robot.send_action(before.tip)
    for _ in range(_PATIENCE):
        if decision.joints is not None:
            away = float(np.abs(decision.joints - before.joints).max())
            allowed = _largest_step(robot).max() + robot.limits.joint_lag
            _require(away <= allowed, f"The first command is {away:.3g} rad from where the arm is.")
            return _checked(robot, decision, None)
        decision = robot.send_action(before.tip)
    raise ConformanceError(f"Nothing was sent in {_PATIENCE} actions: {', '.join(decision.interventions)}.")


def _check_wrong_shape(robot: Robot, last: SafetyDecision) -> SafetyDecision:
    try:
        robot.send_action(np.zeros(2))
    except ShapeError:
        return _follow(robot, last, robot.get_observation().tip, 1)
    raise ConformanceError("send_action with two numbers raises no ShapeError.")


def _check_motion(robot: Robot, last: SafetyDecision, distance: float) -> SafetyDecision:
    """A near target is gone to; one that cannot be is not, and moves nothing faster."""
    begin, middle = robot.get_observation().tip, (robot.limits.pusher.low + robot.limits.pusher.high) / 2
    aside = np.array([0.0, np.copysign(distance, middle[1] - begin[1]), 0.0])
    after = _follow(robot, last, begin + aside, _TICKS)
    _require(after.state.mode is Mode.RUNNING, f"A motion of {distance} m is not followed: {after.interventions}.")
    moved = last.joints is not None and after.joints is not None and (last.joints != after.joints).any()
    _require(moved, f"A motion of {distance} m changes no command.")
    outside = _follow(robot, after, begin + 1000 * aside, 1)
    _require(outside.interventions, f"A target {1000 * distance} m away is followed without an intervention.")
    return _follow(robot, outside, begin, _TICKS)


def _check_not_finite(robot: Robot, last: SafetyDecision) -> SafetyDecision:
    decision = _follow(robot, last, np.array([np.nan, 0.5, 0.0]), 1)
    _require(decision.state.mode is not Mode.RUNNING, "A target that is not a number is followed.")
    _require(decision.interventions, "A target that is not a number gives no intervention.")
    return decision


def _check_stop(robot: Robot, last: SafetyDecision) -> SafetyDecision:
    last = _follow(robot, last, robot.get_observation().tip, _TICKS)
    held, again = robot.stop(), robot.stop()
    _require(held.state.mode is Mode.HOLDING, f"stop ends in {held.state.mode.name}, not in HOLDING.")
    same = held.joints is not None and again.joints is not None and (held.joints == again.joints).all()
    _require(same, "What stop sends again is another position.")
    after = _follow(robot, again, robot.get_observation().tip, 1)
    _require(after.state.mode is Mode.RUNNING, f"Nothing is followed after a stop: {after.interventions}.")
    return after


def _check_emergency_stop(robot: Robot, last: SafetyDecision) -> None:
    held = robot.estop()
    _require(held.state.mode is Mode.HOLDING, f"estop ends in {held.state.mode.name}, not in HOLDING.")
    stopped = _follow(robot, held, robot.get_observation().tip, 1)
    _require(stopped.state.mode is Mode.HOLDING, "An action is followed after estop, without reset.")
    robot.reset()
    after = _follow(robot, stopped, robot.get_observation().tip, 1)
    _require(after.state.mode is Mode.RUNNING, f"Nothing is followed after reset: {after.interventions}.")


def _check_error_passes(robot: Robot) -> None:
    """An error within a with statement gets out, and the connection ends all the same."""
    try:
        with robot:
            raise ConformanceError
    except ConformanceError:
        _require(not robot.is_connected, "The robot stays connected after an error in a with statement.")
        return
    raise ConformanceError("An error in a with statement is swallowed.")


def _follow(robot: Robot, last: SafetyDecision, target: FloatArray, ticks: int) -> SafetyDecision:
    """Want a target for some ticks, and check every decision."""
    for _ in range(ticks):
        last = _checked(robot, robot.send_action(target), last.joints)
    return last


def _checked(robot: Robot, decision: SafetyDecision, before: FloatArray | None) -> SafetyDecision:
    joints, limits = decision.joints, robot.limits.joints
    if joints is None:
        _require(decision.interventions, "Nothing is sent, and no intervention says why.")
        return decision
    _require(joints.shape == limits.low.shape, f"Joints of shape {joints.shape} are sent.")
    _require(limits.contains(joints), f"Joints outside of their limits are sent: {joints}.")
    if before is not None:
        excess = float((np.abs(joints - before) / _largest_step(robot)).max())
        _require(excess <= 1.0 + 1e-6, f"A joint moves by {excess:.3g} times what its rate allows in a period.")
    return decision


def _largest_step(robot: Robot) -> FloatArray:
    step: FloatArray = robot.limits.joints.rate * robot.limits.period
    return step
