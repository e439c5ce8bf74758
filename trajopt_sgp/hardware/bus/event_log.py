"""Event logs in the format of lcm-logger, written and read without LCM: a full disk is an error."""

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus.bus import Packet

_SYNC = 0xEDA1DA01
_HEADER = struct.Struct(">IqqII")


class LogWriter:
    """Writes packets to a file that lcm-logplayer and lcm-spy can read.

    Raises:
        OSError: the file cannot be opened; from `write` and `close`, that the disk is full.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._events = 0

    def write(self, packet: Packet) -> None:
        """Append one packet."""
        channel = packet.channel.encode()
        header = _HEADER.pack(_SYNC, self._events, packet.time, len(channel), len(packet.data))
        self._file.write(header + channel + packet.data)
        self._events += 1

    def close(self) -> None:
        """Write what is still in memory, and close the file."""
        self._file.close()

    def __enter__(self) -> "LogWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(path: Path) -> Iterator[Packet]:
    """Return the packets of an event log, in their order; a last one that was cut off is left out.

    Raises:
        HardwareError: the file is not an event log, or is damaged.
    """
    with path.open("rb") as file:
        while len(head := file.read(_HEADER.size)) == _HEADER.size:
            sync, _, time, channel_length, data_length = _HEADER.unpack(head)
            if sync != _SYNC:
                raise HardwareError(f"{path} is not an LCM event log, or damaged before byte {file.tell()}.")
            body = file.read(channel_length + data_length)
            if len(body) == channel_length + data_length:
                yield Packet(time, body[:channel_length].decode(errors="replace"), body[channel_length:])
