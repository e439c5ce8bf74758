"""Limits for an iiwa14 that pushes a box, and what may be changed in them."""

import numpy as np

from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.safety.filter import SafetyLimits
from trajopt_sgp.hardware.safety.motion import MotionLimits

JOINT_LIMITS = np.deg2rad([170.0, 120.0, 170.0, 120.0, 170.0, 120.0, 175.0])
"""Ends of the joints' ranges on either side [rad]."""
JOINT_RATES = np.array([1.483529, 1.483529, 1.745329, 1.308996, 2.268928, 2.356194, 2.356194])
"""Greatest joint speeds of the iiwa14 [rad/s]."""
TORQUE_TRIP = 60.0 * np.array([1.0, 1.0, 1.0, 0.5, 0.2, 0.2, 0.1])
"""External torques at which the driver exits, so that the arm stops at once [Nm]."""

WORKSPACE = ((0.41, 0.75), (-0.25, 0.25))
"""Ends of x and of y of a vertical pusher in which the elbow is never stretched [m]."""
HEIGHT = (0.0, 0.1)
"""And of z [m]."""


def iiwa_limits(
    workspace: tuple[tuple[float, float], tuple[float, float]] = WORKSPACE,
    height: tuple[float, float] = HEIGHT,
    speed: float = 0.15,
    acceleration: float = 1.0,
    fraction: float = 0.25,
    torque_fraction: float = 0.5,
) -> SafetyLimits:
    """Return limits for the arm.

    Args:
        workspace: Ends of x and of y of the pusher's tip in the robot's frame [m].
        height: Ends of its z [m].
        speed: Largest speed of the tip [m/s].
        acceleration: Largest acceleration of the tip [m/s²].
        fraction: What part of the arm's joint speeds may be used.
        torque_fraction: At what part of the driver's own limits of external torque the arm is stopped.

    Raises:
        OptionError: a limit that is none.
    """
    for name, share in (("fraction", fraction), ("torque_fraction", torque_fraction)):
        if not 0.0 < share <= 1.0:
            raise OptionError(f"{name} must be above 0 and at most 1, not {share}.")
    box = np.array([*workspace, height], dtype=np.float64)
    # three equal accelerations together are as long as the one allowed
    each = np.full(3, acceleration / np.sqrt(3))
    tip = MotionLimits(box[:, 0], box[:, 1], np.full(3, speed), each, speed, braking=acceleration)
    # the driver clamps one degree before the end; two keep clear of that
    reach = JOINT_LIMITS - np.deg2rad(2.0)
    joints = MotionLimits(-reach, reach, fraction * JOINT_RATES, np.full(7, 20.0))
    return SafetyLimits(tip, joints, torque_fraction * TORQUE_TRIP)
