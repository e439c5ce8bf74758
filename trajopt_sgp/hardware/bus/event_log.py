"""Event logs in the format of lcm-logger, written and read without LCM: never over another, and no damage is silent."""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus.bus import Packet

_SYNC = 0xEDA1DA01
_SYNC_BYTES = _SYNC.to_bytes(4, "big")
_HEADER = struct.Struct(">IqqII")


class LogWriter:
    """Writes packets to a file that lcm-logplayer and lcm-spy can read.

    Raises:
        HardwareError: the file exists already, and is not empty.
        OSError: the file cannot be opened; from `write` and `close`, that the disk is full.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size:
            raise HardwareError(
                f"{path} exists already, and a log is never overwritten: name another file, or move it."
            )
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


def make_way(path: Path) -> None:
    """Where there is a log already, give it a number, so that a new one can be written under its name."""
    if path.is_file():
        numbers = itertools.count(1)
        older = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in numbers)
        path.rename(next(name for name in older if not name.exists()))


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
            if len(body) < channel_length + data_length:
                if _SYNC_BYTES in body:  # not cut off: there are more packets, and a damaged length hides them
                    raise HardwareError(f"{path} is damaged before byte {file.tell() - len(body)}.")
            else:
                yield Packet(time, body[:channel_length].decode(errors="replace"), body[channel_length:])
