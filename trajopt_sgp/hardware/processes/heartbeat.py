"""Signs of life: what was killed or stopped cannot say so, but it falls silent."""

import threading
from collections.abc import Callable
from types import TracebackType

ALIVE = "alive"
"""The event that is sent again and again."""


class Heartbeat:
    """While it is entered, a thread calls a function again and again, also while the process computes.

    Args:
        beat: What it calls.
        period: Between two calls [s].
    """

    def __init__(self, beat: Callable[[], None], period: float) -> None:
        self._beat, self._period = beat, period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._over.wait(self._period):
            self._beat()
