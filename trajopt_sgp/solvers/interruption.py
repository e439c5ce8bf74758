"""Ctrl-C during a solve ends it with the best iterate instead of a traceback."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """While the block runs, the first SIGINT is noted; a second one raises KeyboardInterrupt as usual.

    Whoever reads `requested` answers for it. A signal that nobody has asked about by the end of the block goes to the
    handler from before, which as a rule raises KeyboardInterrupt. Of nested blocks the outer ones learn of every
    signal, also of those that an inner one has answered for.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self._noted = self._answered = False
        self._before: Any = None

    @property
    def requested(self) -> bool:
        """Whether Ctrl-C was pressed; who reads it must end."""
        self._answered = self._answered or self._noted
        return self._noted

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
            self._noted = self._outer is not None and self._outer._noted
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        outer, self._before = self._outer, None
        if outer is not None:
            outer._noted = outer._noted or self._noted
        elif self._noted and not self._answered and not isinstance(error, KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    @property
    def _outer(self) -> "Interruption | None":
        """The block around this one."""
        owner = getattr(self._before, "__self__", None)
        return owner if isinstance(owner, Interruption) else None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            raise KeyboardInterrupt
        self._noted = True
