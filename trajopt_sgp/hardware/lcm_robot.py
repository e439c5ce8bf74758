"""The arm on the bus as a robot: statuses in, commands out, behind the safety filter, at the rate of the driver."""

import time
from typing import Any

import numpy as np

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmKinematics, ArmState
from trajopt_sgp.hardware.bus import Bus, Mailbox
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.filtered_robot import FilteredRobot
from trajopt_sgp.hardware.messages import COMMAND, FRAME_DECODER, STATUS_DECODER, codec
from trajopt_sgp.hardware.mocap import KeypointState, fit_rigid, pose_of, take_frame
from trajopt_sgp.hardware.safety import SafetyDecision, SafetyInputs, SafetyState, filter_command
from trajopt_sgp.hardware.safety.motion import FloatArray
from trajopt_sgp.hardware.settings import HardwareSettings

CONNECT_TIMEOUT = 10.0
"""How long the first status may take, and the driver its start [s]."""


class LcmRobot(FilteredRobot):
    """An iiwa behind its LCM driver. `send_action` waits for the next status, and so sets the rate of a loop.

    It commands while the program calls it; a program that may be late shall let the tracker do so instead.

    Args:
        settings: Addresses, channels and limits.
        bus: To speak on; one of its own unless given.
    """

    def __init__(self, settings: HardwareSettings | None = None, bus: Bus | None = None) -> None:
        self.settings = settings or HardwareSettings()
        self._bus = bus
        self._kinematics = ArmKinematics()
        decoders = {self.settings.status_channel: STATUS_DECODER, self.settings.frame_channel: FRAME_DECODER}
        self._mailbox = Mailbox(decoders)
        self._keypoints = KeypointState()
        self._sent: set[bytes] = set()
        self._foreign = False

    def connect(self) -> None:
        """Wait until the driver is ready for commands.

        Raises:
            HardwareError: LCM is missing or has no network, or no driver speaks.
        """
        settings = self.settings
        channels = (settings.status_channel, settings.frame_channel, settings.command_channel)
        self._bus = self._bus or Bus(settings.url, channels)
        begun = now()
        while not self._ready(begun):
            if now() - begun > 1e6 * CONNECT_TIMEOUT:
                raise HardwareError(f"No driver is ready on {settings.status_channel} of {settings.url}.")
            self._listen(settings.period)
        self._foreign = False
        self._safety = SafetyState()

    def get_observation(self) -> ArmState:
        """Return what was measured last; the box is NaN until motion capture has seen it.

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

    def _ready(self, begun: int) -> bool:
        letter = self._mailbox.newest(self.settings.status_channel)
        guarded = now() - begun < 1e6 * self.settings.start_guard
        return letter is not None and letter.message.utime >= 0 and not guarded

    def _send(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        safety, deadline = self.safety, time.monotonic() + self.settings.period
        before = self._mailbox.newest(self.settings.status_channel)
        # the next status, or one period where none comes: never more commands than periods
        while self._mailbox.newest(self.settings.status_channel) is before and time.monotonic() < deadline:
            self._listen(deadline - time.monotonic())
        letter = self._mailbox.newest(self.settings.status_channel)
        measured = self._state(letter.message if letter else None)
        age = (now() - letter.time) * 1e-6 if letter else np.inf
        inputs = SafetyInputs(
            pusher, measured.tip, measured.joints, age, foreign_commander=self._foreign, emergency_stop=emergency
        )
        decision = filter_command(self.settings.limits, safety, inputs, self._kinematics.solve_joints)
        self._safety = decision.state
        if decision.joints is not None:
            self._command(decision.joints)
        return decision

    def _command(self, joints: FloatArray) -> None:
        message = codec(COMMAND)()
        message.utime, message.num_joints, message.joint_position = now(), len(joints), joints.tolist()
        packet = message.encode()
        self._sent.add(packet)
        if self._bus:
            self._bus.publish(self.settings.command_channel, packet)

    def _listen(self, timeout: float) -> None:
        packets = self._bus.receive(timeout) if self._bus else []
        self._mailbox.put(packets)
        for packet in packets:
            if packet.channel == self.settings.command_channel:
                self._foreign |= packet.data not in self._sent
                self._sent.discard(packet.data)
        frame = self._mailbox.newest(self.settings.frame_channel)
        if frame and frame.time > self._keypoints.time:
            self._keypoints, _ = take_frame(self.settings, self._keypoints, frame.message, frame.time)

    def _state(self, message: Any) -> ArmState:
        if message is None:
            raise HardwareError("No status has come.")
        joints = np.asarray(message.joint_position_measured, dtype=np.float64)
        velocities = np.asarray(message.joint_velocity_estimated, dtype=np.float64)
        return ArmState(message.utime * 1e-6, joints, velocities, self._kinematics.tip(joints)[0], self._box())

    def _box(self) -> FloatArray:
        if self._keypoints.points is None:
            return np.full(3, np.nan)
        motion, _ = fit_rigid(np.asarray(self.settings.box_keypoints), self._keypoints.points)
        return pose_of(motion)
