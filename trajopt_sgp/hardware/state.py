"""What an arm with a pusher tells of itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    joints: NDArray[np.float64]
    velocities: NDArray[np.float64]
    external_torques: NDArray[np.float64]
    tip: NDArray[np.float64]
    box: NDArray[np.float64]


def state_of(status: Any, tip: NDArray[np.float64], box: NDArray[np.float64]) -> ArmState:
    """Return what a decoded status tells, with the tip `(3,)` that belongs to its joints, and the box `(3,)`."""
    joints, velocities, torques = (
        np.asarray(values, dtype=np.float64)
        for values in (status.joint_position_measured, status.joint_velocity_estimated, status.joint_torque_external)
    )
    return ArmState(status.utime * 1e-6, joints, velocities, torques, tip, box)
