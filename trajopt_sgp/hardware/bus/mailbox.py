"""The newest message of each channel; older ones are forgotten, refused ones counted with their cause."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.bus.bus import Packet
from trajopt_sgp.hardware.messages import Decoder


class Letter(NamedTuple):
    """A decoded message, and when it was received [µs]."""

    time: int
    message: Any


class Mailbox:
    """Keeps the newest valid message of each channel.

    Args:
        decoders: Of every channel that is kept.

    Attributes:
        refused: How many packets were refused, by channel and cause.
    """

    def __init__(self, decoders: Mapping[str, Decoder]) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        self._decoders = decoders
        self._letters: dict[str, Letter] = {}

    def put(self, packets: Iterable[Packet]) -> None:
        """Take packets; of each channel the last one that is valid remains."""
        for packet in packets:
            if packet.channel in self._decoders:
                self._put(packet)

    def newest(self, channel: str) -> Letter | None:
        """Return the newest message of a channel, or None before the first."""
        return self._letters.get(channel)

    def _put(self, packet: Packet) -> None:
        try:
            message = self._decoders[packet.channel].decode(packet.data)
        except MessageError as error:
            self.refused[packet.channel, error.cause] += 1
        else:
            self._letters[packet.channel] = Letter(packet.time, message)
