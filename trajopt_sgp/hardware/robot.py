"""What every robot offers, whatever it is made of; the verbs are those of LeRobot's `Robot`."""

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.safety import SafetyDecision
from trajopt_sgp.hardware.state import ArmState

Features = Mapping[str, tuple[int, ...]]
"""Names and shapes of what is observed, or commanded; readable without a connection."""


@runtime_checkable
class Robot(Protocol):
    """An arm with a pusher. A context manager: it connects on entry, and on exit stops and disconnects."""

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

    def send_action(self, pusher: FloatArray) -> SafetyDecision:
        """Want the pusher at a position `(3,)` [m]; return what was really sent, and why it differs."""
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
