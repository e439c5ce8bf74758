"""The newest message of each channel; older ones are forgotten, refused ones counted with their cause."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.bus.bus import Packet
from trajopt_sgp.hardware.messages import Decoder


class Letter(NamedTuple):
    """A decoded message, when it was received [µs], and on which channel."""

    time: int
    channel: str
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

    def put(self, packets: Iterable[Packet]) -> list[Letter]:
        """Take packets and return those that are valid; of each channel the last one remains."""
        decoded = [self._decode(packet) for packet in packets if packet.channel in self._decoders]
        letters = [letter for letter in decoded if letter]
        self._letters.update((letter.channel, letter) for letter in letters)
        return letters

    def newest(self, channel: str) -> Letter | None:
        """Return the newest message of a channel, or None before the first."""
        return self._letters.get(channel)

    def clear(self) -> None:
        """Forget all messages; what was refused is still counted."""
        self._letters.clear()

    def _decode(self, packet: Packet) -> Letter | None:
        try:
            message = self._decoders[packet.channel].decode(packet.data)
        except MessageError as error:
            self.refused[packet.channel, error.cause] += 1
            return None
        return Letter(packet.time, packet.channel, message)
