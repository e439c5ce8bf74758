"""What every robot offers, whatever it is made of; the verbs are those of LeRobot's `Robot`."""

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.hardware.safety import SafetyDecision, SafetyLimits
from trajopt_sgp.hardware.state import ArmState

Features = Mapping[str, tuple[int, ...]]
"""Names and shapes of what is observed, or commanded; readable without a connection."""


@runtime_checkable
class Robot(Protocol):
    """An arm with a pusher. A context manager: it connects on entry, and on exit stops and disconnects.

    Attributes:
        limits: Of what is sent; known without a connection.
    """

    limits: SafetyLimits
    observation_features: ClassVar[Features]
    action_features: ClassVar[Features]

    @property
    def is_connected(self) -> bool:
        """Whether actions may be sent."""
        ...

    def connect(self) -> None:
        """Make ready for actions."""
        ...

    def get_observation(self) -> ArmState:
        """Return what is measured now."""
        ...

    def send_action(self, pusher: ArrayLike) -> SafetyDecision:
        """Want the pusher at a position `(3,)` [m]; return what was really sent, and why it differs.

        A position that is not finite or must not be reached is no error: the decision says what was done instead.

        Raises:
            HardwareError: not connected.
            ShapeError: anything but three numbers.
        """
        ...

    def stop(self) -> SafetyDecision:
        """Brake from the last command and hold; return the last thing sent. Actions may follow."""
        ...

    def estop(self) -> SafetyDecision:
        """Stop, and stay stopped until `reset`."""
        ...

    def reset(self) -> None:
        """Allow actions after `estop`, or after another reason that is latched."""
        ...

    def disconnect(self) -> None:
        """Stop and let go."""
        ...

    def __enter__(self) -> "Robot": ...

    def __exit__(self, *exception: object) -> None: ...


def as_position(pusher: ArrayLike) -> FloatArray:
    """Return a position of the pusher `(3,)` [m].

    Raises:
        ShapeError: anything but three numbers.
    """
    try:
        position = np.asarray(pusher, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"A position of the pusher is x, y and z [m], not {pusher!r}.") from error
    if position.shape != (3,):
        raise ShapeError(f"A position of the pusher is x, y and z [m], not an array of shape {position.shape}.")
    return position
