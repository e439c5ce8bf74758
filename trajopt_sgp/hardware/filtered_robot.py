"""What all robots behind the safety filter share: a connection, decisions, their count and log, and stops that hold."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.decision_log import DecisionLog
from trajopt_sgp.hardware.robot import Features, as_position
from trajopt_sgp.hardware.safety import (
    Mode,
    SafetyDecision,
    SafetyInputs,
    SafetyLimits,
    SafetyState,
    filter_command,
    iiwa_limits,
    reset,
)
from trajopt_sgp.hardware.signals import deferred
from trajopt_sgp.hardware.state import ArmState

Own = TypeVar("Own", bound="FilteredRobot")
SETTLING = 40
"""How often a hold is sent before a connection ends."""


@dataclass
class ActionCount:
    """What became of the actions since a robot connected.

    Attributes:
        asked: Counted when an action comes in; the others when it has been decided on.
        followed: The filter changed nothing.
        modified: The arm went where it was wanted, within a limit that what was wanted did not keep.
        refused: Nothing was sent, or the arm braked or was held.
        sent: Commands that went to the arm, those of stops included.
    """

    asked: int = 0
    followed: int = 0
    modified: int = 0
    refused: int = 0
    sent: int = 0

    @property
    def complete(self) -> bool:
        """Whether every action that was asked for has had one end."""
        return self.asked == self.followed + self.modified + self.refused

    def decided(self, decision: SafetyDecision) -> None:
        """Count the end of an action."""
        if decision.state.mode is not Mode.RUNNING:
            self.refused += 1
        elif decision.interventions:
            self.modified += 1
        else:
            self.followed += 1


class FilteredRobot(ABC):
    """An iiwa with a pusher whose every command has passed the safety filter.

    Args:
        limits: Of the safety filter; those of `iiwa_limits` unless given.
        dry: Decide on every action and send none.
        log: Event log that receives every decision and what it sends, or would send; a new file for each connection.

    Attributes:
        actions: What became of the actions since the last `connect`.
    """

    observation_features: ClassVar[Features] = {
        "joints": (7,),
        "velocities": (7,),
        "external_torques": (7,),
        "tip": (3,),
        "box": (3,),
    }
    action_features: ClassVar[Features] = {"pusher": (3,)}

    _safety: SafetyState | None = None

    def __init__(self, limits: SafetyLimits | None = None, dry: bool = False, log: Path | None = None) -> None:
        self.limits, self.dry = limits or iiwa_limits(), dry
        self.actions = ActionCount()
        self._kinematics = ArmKinematics()
        self._log_path, self._log = log, DecisionLog(None)

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

    def connect(self) -> None:
        """Begin with a safety filter that has sent nothing.

        Raises:
            HardwareError: there is nothing to connect to, or the log exists already.
        """
        with ExitStack() as opened:
            opened.callback(self._close)
            self._open()
            self._log = DecisionLog(self._log_path)
            opened.pop_all()
        self._safety, self.actions = SafetyState(), ActionCount()

    @abstractmethod
    def get_observation(self) -> ArmState:
        """Return what was measured last."""

    def send_action(self, pusher: ArrayLike) -> SafetyDecision:
        """Want the pusher at a position `(3,)` [m] for one period; return what was really sent, and why it differs.

        Raises:
            HardwareError: not connected.
            OSError: the log was lost; `stop`, `estop` and `disconnect` raise it as well, after the arm is held.
            ShapeError: anything but three numbers; nothing is sent. Three that are not finite make the arm brake.
        """
        _ = self.safety
        wanted = as_position(pusher)
        self.actions.asked += 1
        decision = self._send(wanted, emergency=False)
        self.actions.decided(decision)
        self._log.check()
        return decision

    def stop(self) -> SafetyDecision:
        """Brake from the last command and hold; return the last thing sent."""
        decision = self._brake()
        self._log.check()
        return decision

    def estop(self) -> SafetyDecision:
        """Stop, and stay stopped until `reset`."""
        decision = self._until_held(self.get_observation().tip, emergency=True)
        self._log.check()
        return decision

    def reset(self) -> None:
        """Allow actions after `estop`, or after another reason that is latched."""
        self._safety = reset(self.safety)

    def disconnect(self) -> None:
        """Stop and let go; nothing happens if there is no connection. A signal, as of Ctrl-C, waits until then."""
        with deferred():
            try:
                if self.is_connected:
                    self._brake()
                    for _ in range(SETTLING):  # the arm is late, and comes to rest after its command
                        self._brake()
            finally:
                self._safety = None
                self._close()
                self._log.close()

    def __enter__(self: Own) -> Own:
        self.connect()
        return self

    def __exit__(self, *exception: object) -> None:
        self.disconnect()

    @abstractmethod
    def _open(self) -> None:
        """Reach the arm."""

    def _close(self) -> None:  # noqa: B027
        """Let go of what `_open` has opened; of nothing unless a robot says otherwise."""

    @abstractmethod
    def _command(self, joints: FloatArray) -> None:
        """Send joints `(7,)` [rad] to the arm."""

    def _inputs(self, pusher: FloatArray, emergency: bool) -> SafetyInputs:
        """Return what the filter is to know of this tick: what is measured now."""
        measured = self.get_observation()
        return SafetyInputs(
            pusher,
            measured.tip,
            self._joints(measured),
            external_torques=measured.external_torques,
            emergency_stop=emergency,
        )

    def _send(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        """Filter one command and send it."""
        last = self.safety.joints
        commanded = self._kinematics.tip(last.position)[0] if last else None
        inputs = replace(self._inputs(pusher, emergency), commanded_pusher=commanded)
        if waits := self._reasons_to_wait():
            decision = SafetyDecision(None, waits, self.safety)
        else:
            decision = filter_command(self.limits, self.safety, inputs, self._kinematics.solve_joints)
            decision = replace(decision, interventions=(*decision.interventions, *self._remarks()))
        self._safety = decision.state
        if decision.joints is not None and not self.dry:
            self._command(decision.joints)
            self.actions.sent += 1
        self._log.write(decision)
        return decision

    def _reasons_to_wait(self) -> tuple[str, ...]:
        """Return why nothing may be sent now, whatever is wanted; the arm is held where it is meanwhile."""
        return ()

    def _remarks(self) -> tuple[str, ...]:
        """Return what explains the decision beside what the filter says."""
        return ()

    def _joints(self, measured: ArmState) -> FloatArray:
        """Return the joints to compare commands with; in a dry run nothing follows, and commands are taken for them."""
        sent = self.safety.joints
        return sent.position if self.dry and sent else measured.joints

    def _brake(self) -> SafetyDecision:
        nowhere = np.full(3, np.nan)  # nothing is wanted, which the filter answers by braking
        return self._until_held(nowhere, emergency=False)

    def _until_held(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        decision = self._send(pusher, emergency)
        while decision.state.mode is Mode.STOPPING:
            decision = self._send(pusher, emergency)
        return decision
