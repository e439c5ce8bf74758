"""What an arm with a pusher tells of itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class ArmState:
    """What can be measured.

    Attributes:
        time: [s].
        joints, velocities: `(7,)` [rad], [rad/s].
        external_torques: By what the surroundings turn the joints `(7,)` [Nm].
        tip: Position of the pusher's tip `(3,)` [m].
        box: Position of the box and its angle about the vertical: x, y [m], θ [rad]; NaN where motion capture has not
            seen it within the age limit `keypoint_age`.
    """

    time: float
    joints: FloatArray
    velocities: FloatArray
    external_torques: FloatArray
    tip: FloatArray
    box: FloatArray


def state_of(status: Any, tip: FloatArray, box: FloatArray) -> ArmState:
    """Return what a decoded status tells, with the tip `(3,)` that belongs to its joints, and the box `(3,)`."""
    joints, velocities, torques = (
        np.asarray(values, dtype=np.float64)
        for values in (status.joint_position_measured, status.joint_velocity_estimated, status.joint_torque_external)
    )
    return ArmState(status.utime * 1e-6, joints, velocities, torques, tip, box)
