"""Motions that need no planner, on any robot."""

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError, NotFiniteError, OptionError
from trajopt_sgp.hardware.robot import Robot, as_position


def check_target(robot: Robot, pusher: ArrayLike) -> FloatArray:
    """Return a position `(3,)` [m] to which a robot may move its pusher; it need not be connected.

    Raises:
        ShapeError: anything but three numbers.
        NotFiniteError: NaN or infinity.
        OptionError: outside of the workspace, which is named.
    """
    target, limits = as_position(pusher), robot.limits.pusher
    words = ", ".join(f"{coordinate:g}" for coordinate in target)
    if not np.isfinite(target).all():
        raise NotFiniteError(f"The pusher cannot go to ({words}): a position is finite.")
    if not limits.contains(target):
        ends = zip("xyz", limits.low, limits.high, strict=True)
        workspace = ", ".join(f"{name} {low:g} to {high:g}" for name, low, high in ends)
        raise OptionError(f"The pusher cannot go to ({words}) m: its workspace is {workspace} m.")
    return target


def move_to(robot: Robot, pusher: ArrayLike, tolerance: float = 0.002, actions: int = 6000) -> FloatArray:
    """Move the pusher on a straight line to a position `(3,)` [m], within the limits of the filter; return where it is.

    Raises:
        ShapeError, NotFiniteError, OptionError: it is none in the workspace, as `check_target` says; nothing moves.
        HardwareError: what stops it is latched, or it has not arrived after so many actions; the reasons are named.
    """
    target = check_target(robot, pusher)
    tip = robot.get_observation().tip
    decision = robot.send_action(tip)
    for _ in range(actions):
        tip = robot.get_observation().tip
        if np.linalg.norm(tip - target) <= tolerance:
            robot.stop()
            return tip
        if decision.state.latched:
            break  # only `reset` ends that
        decision = robot.send_action(target if decision.joints is not None else tip)
    robot.stop()
    raise HardwareError(f"The pusher is at {tip.round(3)}, not at {target}: {', '.join(decision.interventions)}.")
