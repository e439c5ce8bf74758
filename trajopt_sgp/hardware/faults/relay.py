"""Between simulator and tracker: passes packets on, altered as a fault wants, and hears what the tracker does."""

import heapq
import random

from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.bus import Bus, Packet
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.faults.catalogue import Alter
from trajopt_sgp.hardware.faults.judge import Recording
from trajopt_sgp.hardware.messages import COMMAND, COMMAND_DECODER, EVENT_DECODER, SAFETY_DECODER, codec
from trajopt_sgp.hardware.settings import HardwareSettings

SIMULATED = "SIMULATED_"
"""Before the names of channels on the simulator's side."""


class Relay:
    """Passes on statuses and frames, and records commands and decisions.

    Args:
        settings: Of the tracker.
        rng: For faults that are random.
    """

    def __init__(self, settings: HardwareSettings, rng: random.Random) -> None:
        self.settings, self.recording = settings, Recording()
        self.alter: dict[str, Alter] = {}
        self._rng = rng
        self._memory: dict[str, bytes] = {}
        self._late: list[tuple[int, int, str, bytes]] = []
        self._passed = 0
        self._foreign: set[bytes] = set()
        heard = (settings.command_channel, settings.safety_channel, settings.event_channel)
        inward = (f"{SIMULATED}{settings.status_channel}", f"{SIMULATED}{settings.frame_channel}")
        self._bus = Bus(settings.url, (*heard, *inward))

    def close(self) -> None:
        """Leave the bus."""
        self._bus.close()

    @property
    def mode(self) -> str:
        """The tracker's, as last heard; empty before."""
        return self.recording.decisions[-1][1] if self.recording.decisions else ""

    def turn(self) -> None:
        """Pass on what waits; wait for 2 ms at most."""
        for packet in self._bus.receive(0.002):
            if packet.channel.startswith(SIMULATED):
                self._pass(packet)
            else:
                self._hear(packet)
        while self._late and self._late[0][0] <= now():
            _, _, channel, data = heapq.heappop(self._late)
            self._bus.publish(channel, data)

    def command(self) -> None:
        """Speak as a second commander, that wants the arm to be where it is commanded to be."""
        if self.recording.commands:
            message = codec(COMMAND)()
            message.utime, message.num_joints = now(), 7
            message.joint_position = COMMAND_DECODER.decode(self.recording.commands[-1][1]).joint_position
            packet = message.encode()
            self._foreign.add(packet)
            self._bus.publish(self.settings.command_channel, packet)

    def _pass(self, packet: Packet) -> None:
        channel = packet.channel.removeprefix(SIMULATED)
        alter = self.alter.get(channel)
        for late, data in alter(packet, self._rng, self._memory) if alter else [(0.0, packet.data)]:
            self._passed += 1
            heapq.heappush(self._late, (now() + round(1e6 * late), self._passed, channel, data))

    def _hear(self, packet: Packet) -> None:
        recording = self.recording
        if packet.channel == self.settings.command_channel:
            if packet.data not in self._foreign:
                recording.commands.append((packet.time, packet.data))
        elif packet.channel == self.settings.safety_channel:
            self._hear_decision(packet)
        elif packet.channel == self.settings.event_channel:
            event = EVENT_DECODER.decode(packet.data)
            recording.words |= {event.event, event.detail}

    def _hear_decision(self, packet: Packet) -> None:
        try:
            message = SAFETY_DECODER.decode(packet.data)
        except MessageError as error:
            self.recording.words.add(f"unreadable decision: {error.cause}")
            return
        words = tuple(filter(None, message.interventions.split("; ")))
        self.recording.decisions.append((packet.time, message.mode, words))
        self.recording.words |= set(words)
