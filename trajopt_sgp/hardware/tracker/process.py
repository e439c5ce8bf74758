"""The tracker as a process: packets from the bus to the pure step, commands back to the bus, everything to the log."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import Bus, LogWriter, Packet, PacketBus
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.bus.events import make_event
from trajopt_sgp.hardware.decision_log import COMMANDED
from trajopt_sgp.hardware.messages import TIMING, codec
from trajopt_sgp.hardware.replay import SETTINGS, end_channel
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.signals import EndSignals
from trajopt_sgp.hardware.tracker.core import Kinematics, advance
from trajopt_sgp.hardware.tracker.receive import STOP, TICK, skipped
from trajopt_sgp.hardware.tracker.state import TrackerState

QUEUE = 50
"""How many packets of a channel may wait: a quarter of a second of statuses."""
HOLD_TIME = 0.25
"""How long a hold is sent before the process ends [s]; the driver keeps the last command for ever."""


class Tracker:
    """Follows plans until it is told to end, and then brakes, holds, and ends.

    Args:
        settings: Of the run.
        log: Where the event log goes; none is written without.
        bus: To speak on; one of its own unless given.
        kinematics: Of the arm.

    Attributes:
        state: What is remembered.
        reasons: Interventions of the last tick.
    """

    def __init__(
        self,
        settings: HardwareSettings,
        log: Path | None = None,
        bus: PacketBus | None = None,
        kinematics: Kinematics | None = None,
    ) -> None:
        self.settings = settings
        self.state = TrackerState()
        self.reasons: tuple[str, ...] = ()
        self._log = LogWriter(log) if log else None
        arm = settings.status_channel, settings.command_channel, settings.frame_channel
        heard = (*arm, settings.plan_channel, settings.event_channel)
        self._bus, self._own_bus = bus or Bus(settings.url, heard, QUEUE), bus is None
        self._kinematics = kinematics or ArmKinematics()
        self._record(Packet(now(), SETTINGS, json.dumps(dataclasses.asdict(settings)).encode()))

    def run(self, after_turn: Callable[[], str] = str) -> str:
        """Track until SIGINT, SIGTERM, SIGHUP, or until a function called after every turn says why to end.

        Returns the cause of the end. Whatever ends it, the arm is braked and held.
        """
        self._report("start", "")
        with EndSignals() as signals:
            wish = ""
            try:
                while not (signals.received or wish):
                    self.turn()
                    wish = after_turn()
            finally:
                error = sys.exc_info()[1]
                cause = signals.received or wish or f"{type(error).__name__}: {error}"
                self.end(cause)
        return cause

    def tip(self, joints: FloatArray) -> FloatArray:
        """Return where the pusher's tip is `(3,)` [m]."""
        return self._kinematics.tip(joints)[0]

    def turn(self) -> None:
        """Wait for packets, at most for one period, and decide; a tick replaces a missing status."""
        before = self.state.tick
        packets = self._bus.receive(self.settings.period)
        statuses = [packet for packet in packets if packet.channel == self.settings.status_channel]
        if len(statuses) > 1:
            self.take(skipped(now(), statuses[:-1]))
        for packet in packets:
            # of states that have waited only the newest is of interest
            if packet.channel != self.settings.status_channel or packet is statuses[-1]:
                self.take(packet)
        if self.state.tick == before:
            self.take(Packet(now(), TICK, b""))

    def take(self, packet: Packet) -> None:
        """Decide on one packet, send what follows, and log both."""
        self.state, tick = advance(self.settings, self.state, packet, self._kinematics)
        if tick and tick.command:
            self._bus.publish(self.settings.command_channel, tick.command)
        sent = now()
        self._record(packet)
        if tick:
            self.reasons = tick.interventions
            self._bus.publish(self.settings.safety_channel, tick.safety)
            timing = _timing(self.state.tick - 1, packet.time, sent)
            self._bus.publish(self.settings.timing_channel, timing)
            self._record(Packet(sent, self.settings.safety_channel, tick.safety))
            self._record(Packet(sent, self.settings.timing_channel, timing))
            if tick.command:
                self._record(Packet(sent, COMMANDED, tick.command))

    def end(self, cause: str) -> None:
        """Brake from the last command and hold; of the bus nothing is heard any more."""
        self.take(Packet(now(), STOP, cause.encode()))
        held_since = now()
        while now() - held_since < 1e6 * HOLD_TIME:
            time.sleep(self.settings.period)
            self.take(Packet(now(), TICK, b""))
            if self.state.safety.mode in (Mode.RUNNING, Mode.STOPPING):
                held_since = now()
        self._report("end", cause)
        if self._own_bus and isinstance(self._bus, Bus):
            self._bus.close()
        if self._log:
            self._log.close()

    def _report(self, event: str, detail: str) -> None:
        packet = make_event("tracker", event, detail)
        self._bus.publish(self.settings.event_channel, packet)
        self._record(Packet(now(), end_channel(self.settings), packet))

    def _record(self, packet: Packet) -> None:
        if self._log is None:
            return
        try:
            self._log.write(packet)
        except OSError as error:
            # a run without its log is stopped; the bus still hears why
            self._log = None
            cause = f"log lost: {error.strerror}"
            self._report("log lost", cause)
            self.take(Packet(now(), STOP, cause.encode()))


def _timing(tick: int, received: int, sent: int) -> bytes:
    message = codec(TIMING)()
    message.tick, message.received, message.sent = tick, received, sent
    return bytes(message.encode())
