"""The arm on the bus as a robot: statuses in, commands out, behind the safety filter, at the rate of the driver."""

from collections import deque
from dataclasses import replace
from pathlib import Path

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import Bus, Letter, Mailbox, PacketBus
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.decision_log import OWN_COMMANDS, make_command
from trajopt_sgp.hardware.driver_state import (
    RESTARTED,
    SILENCE,
    Allowance,
    DriverState,
    reasons_to_wait,
    state_age,
    take_status,
)
from trajopt_sgp.hardware.filtered_robot import FilteredRobot
from trajopt_sgp.hardware.messages import FRAME_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import KeypointState, box_pose, take_frame
from trajopt_sgp.hardware.safety import SafetyInputs, SafetyState, begin_anew
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
        self._driver, self._allowance = DriverState(), Allowance()
        self._sent: deque[bytes] = deque(maxlen=OWN_COMMANDS)
        self._foreign = False

    def get_observation(self) -> ArmState:
        """Return what was measured last; the box is NaN while no good frame of it is younger than `keypoint_age`.

        All frames that have waited since the last call are taken, so that a box that has moved meanwhile is followed.

        Raises:
            HardwareError: not connected.
        """
        _ = self.safety
        self._listen(0.0)
        return self._state()

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
        begun = now()
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
        self._driver, self._keypoints = DriverState(), KeypointState()

    def _reasons_to_wait(self) -> tuple[str, ...]:
        return reasons_to_wait(self.settings, self._driver, self._safety or SafetyState(), now())

    def _remarks(self) -> tuple[str, ...]:
        return state_age(self.settings, self._driver, now(), self._followed)[1]

    def _inputs(self, pusher: FloatArray, emergency: bool) -> SafetyInputs:
        self._await_tick()
        measured = self._state()
        return SafetyInputs(
            pusher,
            measured.tip,
            self._joints(measured),
            state_age=state_age(self.settings, self._driver, now(), self._followed)[0],
            external_torques=measured.external_torques,
            # in a dry run the arm may well be another's
            foreign_commander=self._foreign and not self.dry,
            emergency_stop=emergency,
        )

    def _await_tick(self) -> None:
        """Wait for the next status, or one period where none comes; and until a tick may come, however fast they do."""
        period, before = self.settings.period, self._driver
        due, deadline = self._allowance.due(period), now() + 1e6 * period
        while now() < due or (self._driver is before and now() < deadline):
            self._listen(max(1e-6 * (deadline - now()), period / 10))
        self._allowance = self._allowance.at(now(), period).spent()

    @property
    def _followed(self) -> FloatArray | None:
        """Joints that were sent last `(7,)` [rad]; None where nothing was, so that nothing follows it."""
        last = self._safety.joints if self._safety else None
        return last.position if last and not self.dry else None

    def _command(self, joints: FloatArray) -> None:
        packet = make_command(now(), joints)
        self._sent.append(packet)
        if self._bus:
            self._bus.publish(self.settings.command_channel, packet)

    def _listen(self, timeout: float) -> None:
        packets = self._bus.receive(timeout) if self._bus else []
        commands = [packet.data for packet in packets if packet.channel == self.settings.command_channel]
        self._foreign |= any(command not in self._sent for command in commands)
        letters = self._mailbox.put(packets)
        for letter in letters:
            if letter.channel == self.settings.frame_channel:
                self._keypoints, _ = take_frame(self.settings, self._keypoints, letter.message, letter.time)
        if statuses := [letter for letter in letters if letter.channel == self.settings.status_channel]:
            self._heed(statuses)

    def _heed(self, statuses: list[Letter]) -> None:
        """Take the newest status; of those that have waited only the first of a driver that begins anew counts."""
        first, last = statuses[0].message, statuses[-1]
        if first is not last.message and 0 <= first.utime <= self._driver.utime + SILENCE:
            # they have waited: it was not the driver that was silent
            self._driver = replace(self._driver, received=last.time)
        began = next((status for status in statuses[:-1] if status.message.utime < 0), last)
        for status in (last,) if began is last else (began, last):
            self._take(status)

    def _take(self, status: Letter) -> None:
        settings = self.settings
        self._driver, note = take_status(settings, self._driver, status.message, status.time, self._followed)
        if note == RESTARTED and self._safety is not None:
            # it holds the arm where it is until the first command: so do we
            self._safety = begin_anew(self._safety)

    def _state(self) -> ArmState:
        if self._driver.measured is None:
            raise HardwareError("No status has come.")
        tip = self._kinematics.tip(self._driver.measured)[0]
        return state_of(self._driver.status, tip, box_pose(self.settings, self._keypoints, now()))
