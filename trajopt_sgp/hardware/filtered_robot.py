"""What all robots behind the safety filter share: a connection, and stops that brake until the arm is held."""

from abc import ABC, abstractmethod
from typing import ClassVar, TypeVar

import numpy as np

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.robot import Features
from trajopt_sgp.hardware.safety import Mode, SafetyDecision, SafetyState, reset
from trajopt_sgp.hardware.safety.motion import FloatArray
from trajopt_sgp.hardware.state import ArmState

Own = TypeVar("Own", bound="FilteredRobot")


class FilteredRobot(ABC):
    """An iiwa with a pusher whose every command has passed the safety filter."""

    observation_features: ClassVar[Features] = {"joints": (7,), "velocities": (7,), "tip": (3,), "box": (3,)}
    action_features: ClassVar[Features] = {"pusher": (3,)}

    _safety: SafetyState | None = None

    @property
    def is_connected(self) -> bool:
        """Whether actions may be sent."""
        return self._safety is not None

    @property
    def safety(self) -> SafetyState:
        """What the safety filter remembers: its mode, and how often it has intervened.

        Raises:
            HardwareError: not connected.
        """
        if self._safety is None:
            raise HardwareError("The robot is not connected: call connect, or use it in a with statement.")
        return self._safety

    @abstractmethod
    def connect(self) -> None:
        """Begin with a safety filter that has sent nothing."""

    @abstractmethod
    def get_observation(self) -> ArmState:
        """Return what was measured last."""

    def send_action(self, pusher: FloatArray) -> SafetyDecision:
        """Want the pusher at a position `(3,)` [m] for one period; return what was really sent, and why it differs.

        Raises:
            HardwareError: not connected.
        """
        return self._send(pusher, emergency=False)

    def stop(self) -> SafetyDecision:
        """Brake from the last command and hold; return the last thing sent."""
        nowhere = np.full(3, np.nan)  # nothing is wanted, which the filter answers by braking
        return self._until_held(nowhere, emergency=False)

    def estop(self) -> SafetyDecision:
        """Stop, and stay stopped until `reset`."""
        return self._until_held(self.get_observation().tip, emergency=True)

    def reset(self) -> None:
        """Allow actions after `estop`, or after another reason that is latched."""
        self._safety = reset(self.safety)

    def disconnect(self) -> None:
        """Stop and let go; nothing happens if there is no connection."""
        if self.is_connected:
            self.stop()
        self._safety = None

    def __enter__(self: Own) -> Own:
        self.connect()
        return self

    def __exit__(self, *exception: object) -> None:
        self.disconnect()

    @abstractmethod
    def _send(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        """Filter one command and send it."""

    def _until_held(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        decision = self._send(pusher, emergency)
        while decision.state.mode is Mode.STOPPING:
            decision = self._send(pusher, emergency)
        return decision
