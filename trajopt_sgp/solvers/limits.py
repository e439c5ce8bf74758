"""When a solve must end: its time is over, or Ctrl-C was pressed."""

import math
import time
from types import TracebackType

from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.interruption import Interruption

# what is left where the time is over [s]
_INSTANT = 1e-9


class Limits:
    """The time runs from the beginning; Ctrl-C counts within a `with` block, see `Interruption`.

    Args:
        time_limit: wall time [s]; None for no limit.
    """

    def __init__(self, time_limit: float | None) -> None:
        self._begin = time.perf_counter()
        self._deadline = math.inf if time_limit is None else self._begin + time_limit
        self._interruption = Interruption()

    def __enter__(self) -> "Limits":
        self._interruption.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interruption.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """Wall time since the beginning [s]."""
        return time.perf_counter() - self._begin

    @property
    def left(self) -> float | None:
        """What is left of the time [s], an instant at least; None without a limit."""
        return None if math.isinf(self._deadline) else max(self._deadline - time.perf_counter(), _INSTANT)

    @property
    def overrun(self) -> float | None:
        """By how much the time is over [s]; None without a limit."""
        return None if math.isinf(self._deadline) else max(time.perf_counter() - self._deadline, 0.0)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed; who reads it must end."""
        return self._interruption.requested

    def reached(self) -> Status | None:
        """Return why the solve must end now, or None."""
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.TIME_LIMIT if time.perf_counter() > self._deadline else None
