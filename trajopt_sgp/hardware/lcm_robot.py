"""The arm on the bus as a robot: statuses in, commands out, behind the safety filter, at the rate of the driver."""

import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import Bus, Letter, Mailbox, PacketBus
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.decision_log import OWN_COMMANDS, make_command
from trajopt_sgp.hardware.filtered_robot import FilteredRobot
from trajopt_sgp.hardware.messages import FRAME_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import KeypointState, box_pose, take_frame
from trajopt_sgp.hardware.safety import SafetyInputs, SafetyState
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.state import ArmState, state_of

CONNECT_TIMEOUT = 10.0
"""How long the first status may take, and the driver its start [s]."""


class LcmRobot(FilteredRobot):
    """An iiwa behind its LCM driver. `send_action` waits for the next status, and so sets the rate of a loop.

    It commands while the program calls it; a program that may be late shall let the tracker do so instead.

    Args:
        settings: Addresses, channels and limits.
        bus: To speak on; one of its own unless given.
        dry: Decide on every action and send none: what would be sent to an arm that another program moves, or nothing.
        log: Event log that receives every decision.
    """

    def __init__(
        self,
        settings: HardwareSettings | None = None,
        bus: PacketBus | None = None,
        dry: bool = False,
        log: Path | None = None,
    ) -> None:
        self.settings = settings or HardwareSettings()
        super().__init__(self.settings.limits, dry, log)
        self._bus, self._own_bus = bus, bus is None
        decoders = {self.settings.status_channel: STATUS_DECODER, self.settings.frame_channel: FRAME_DECODER}
        self._mailbox = Mailbox(decoders)
        self._keypoints = KeypointState()
        self._sent: deque[bytes] = deque(maxlen=OWN_COMMANDS)
        self._foreign = False
        self._begun: int | None = None
        """When waiting for the driver that speaks now began [µs]."""
        self._utime = -1
        """Of its last status [µs]; negative until its clock is set."""

    def get_observation(self) -> ArmState:
        """Return what was measured last; the box is NaN while no good frame of it is younger than `keypoint_age`.

        All frames that have waited since the last call are taken, so that a box that has moved meanwhile is followed.

        Raises:
            HardwareError: not connected.
        """
        _ = self.safety
        self._listen(0.0)
        letter = self._mailbox.newest(self.settings.status_channel)
        message = letter.message if letter else None
        return self._state(message)

    def reset(self) -> None:
        """Allow actions after `estop`, or after another reason that is latched."""
        super().reset()
        self._foreign = False

    def _open(self) -> None:
        """Wait until the driver is ready for commands."""
        settings = self.settings
        channels = (settings.status_channel, settings.frame_channel, settings.command_channel)
        self._bus = self._bus or Bus(settings.url, channels)
        self._forget(self._bus)
        begun = self._begun = now()
        while self._reasons_to_wait():
            if now() - begun > 1e6 * CONNECT_TIMEOUT:
                raise HardwareError(f"No driver is ready on {settings.status_channel} of {settings.url}.")
            self._listen(settings.period)
        self._foreign = False

    def _close(self) -> None:
        if self._own_bus and isinstance(self._bus, Bus):
            self._bus.close()
            self._bus = None

    def _forget(self, bus: PacketBus) -> None:
        """Forget what has come until now: it says nothing of the driver and the box as they are."""
        bus.receive(0.0)
        self._mailbox.clear()
        self._keypoints, self._utime = KeypointState(), -1

    def _reasons_to_wait(self) -> tuple[str, ...]:
        """Return why the driver is not ready: it exits at a command that comes too soon after its start."""
        letter = self._mailbox.newest(self.settings.status_channel)
        starting = letter is None or letter.message.utime < 0
        young = self._begun is not None and now() - self._begun < 1e6 * self.settings.start_guard
        return ("driver starting",) if starting or young else ()

    def _inputs(self, pusher: FloatArray, emergency: bool) -> SafetyInputs:
        deadline = time.monotonic() + self.settings.period
        before = self._mailbox.newest(self.settings.status_channel)
        # the next status, or one period where none comes: never more commands than periods
        while self._mailbox.newest(self.settings.status_channel) is before and time.monotonic() < deadline:
            self._listen(deadline - time.monotonic())
        letter = self._mailbox.newest(self.settings.status_channel)
        measured = self._state(letter.message if letter else None)
        return SafetyInputs(
            pusher,
            measured.tip,
            self._joints(measured),
            state_age=(now() - letter.time) * 1e-6 if letter else np.inf,
            external_torques=measured.external_torques,
            # in a dry run the arm may well be another's
            foreign_commander=self._foreign and not self.dry,
            emergency_stop=emergency,
        )

    def _command(self, joints: FloatArray) -> None:
        packet = make_command(now(), joints)
        self._sent.append(packet)
        if self._bus:
            self._bus.publish(self.settings.command_channel, packet)

    def _listen(self, timeout: float) -> None:
        packets = self._bus.receive(timeout) if self._bus else []
        commands = [packet.data for packet in packets if packet.channel == self.settings.command_channel]
        self._foreign |= any(command not in self._sent for command in commands)
        for letter in self._mailbox.put(packets):
            if letter.channel == self.settings.frame_channel:
                self._keypoints, _ = take_frame(self.settings, self._keypoints, letter.message, letter.time)
            else:
                self._heed(letter)

    def _heed(self, status: Letter) -> None:
        """Notice a driver that has restarted: it holds the arm where it is until the first command, and so do we."""
        if status.message.utime < 0 <= self._utime:
            self._begun = status.time
            if self._safety is not None:
                self._safety = SafetyState(latched=self._safety.latched, counts=self._safety.counts)
        self._utime = status.message.utime

    def _state(self, message: Any) -> ArmState:
        if message is None:
            raise HardwareError("No status has come.")
        tip = self._kinematics.tip(np.asarray(message.joint_position_measured, dtype=np.float64))[0]
        return state_of(message, tip, box_pose(self.settings, self._keypoints, now()))
