"""Motions that need no planner, on any robot."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.robot import Robot


def move_to(robot: Robot, pusher: FloatArray, tolerance: float = 0.002, actions: int = 6000) -> FloatArray:
    """Move the pusher on a straight line to a position `(3,)` [m], within the limits of the filter; return where it is.

    Raises:
        HardwareError: nothing may be sent, or it has not arrived after so many actions; the reasons are named.
    """
    tip = robot.get_observation().tip
    decision = robot.send_action(tip)
    for _ in range(actions):
        tip = robot.get_observation().tip
        if np.linalg.norm(tip - pusher) <= tolerance:
            robot.stop()
            return tip
        decision = robot.send_action(pusher if decision.joints is not None else tip)
    robot.stop()
    raise HardwareError(f"The pusher is at {tip.round(3)}, not at {pusher}: {', '.join(decision.interventions)}.")
