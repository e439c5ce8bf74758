"""What an arm with a pusher tells of itself."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ArmState:
    """What can be measured.

    Attributes:
        time: [s].
        joints, velocities: `(7,)` [rad], [rad/s].
        tip: Position of the pusher's tip `(3,)` [m].
        box: Position of the box and its angle about the vertical: x, y [m], θ [rad].
    """

    time: float
    joints: NDArray[np.float64]
    velocities: NDArray[np.float64]
    tip: NDArray[np.float64]
    box: NDArray[np.float64]
