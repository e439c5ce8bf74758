"""What processes tell of themselves, and signals as a wish to end."""

import signal
from types import FrameType, TracebackType
from typing import Any

from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.messages import EVENT, codec
from trajopt_sgp.hardware.signals import end_signals


def make_event(process: str, event: str, detail: str) -> bytes:
    """Return the packet that tells something of a process."""
    message = codec(EVENT)()
    message.utime, message.process, message.event, message.detail = now(), process, event, detail
    return bytes(message.encode())


class EndSignals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP only leave their name in `received`, however often they come."""

    def __init__(self) -> None:
        self.received = ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "EndSignals":
        for number in end_signals():
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
