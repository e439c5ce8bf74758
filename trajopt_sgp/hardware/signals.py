"""Signals that ask to end: Ctrl-C, a supervisor, a terminal that closes. None of them may leave an arm in motion."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], None]


def end_signals() -> tuple[signal.Signals, ...]:
    """Return SIGINT, SIGTERM and SIGHUP; without the last where it is ignored, as under nohup, or does not exist."""
    hangup = signal.Signals.__members__.get("SIGHUP")
    heard = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((hangup,) if hangup is not None and heard else ()))


class EndSignals:
    """While it is entered, these signals only leave their name in `received`, however often they come."""

    def __init__(self) -> None:
        self.received = ""
        self._entered = _handled(self._receive)

    def __enter__(self) -> "EndSignals":
        self._entered.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.__exit__(kind, error, trace)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name


@contextmanager
def interrupted_once() -> Iterator[None]:
    """While it is entered, the first signal raises KeyboardInterrupt; later ones change nothing: the end has begun."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """While it is entered, signals wait: the last one comes when it is left."""
    received: list[int] = []
    try:
        with _handled(lambda number, frame: received.append(number)):
            yield
    finally:
        if received:
            signal.raise_signal(received[-1])


@contextmanager
def _handled(handler: Handler) -> Iterator[None]:
    # signals come to the main thread, and it alone may say what they do
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in end_signals()} if main else {}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
