"""What travels to a worker, what comes back, and the work itself."""

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.plain import plain_values
from trajopt_sgp.studies.runner.cell import CellContext, CellFunction


@dataclass(frozen=True)
class Job:
    """A cell on its way to a worker."""

    key: str
    """Of the cell."""
    function: CellFunction
    """What is computed."""
    settings: Mapping[str, Any]
    """First argument."""
    context: CellContext
    """Second argument."""
    time_limit: float | None = None
    """Wall time after which a worker is ended [s]."""


@dataclass(frozen=True)
class Finished:
    """A cell was computed."""

    result: Mapping[str, Any]
    """Plain JSON values."""
    seconds: float
    """Wall time [s]."""
    cpu_seconds: float
    """Time of all threads of the process on the processor [s]."""


@dataclass(frozen=True)
class Failed:
    """A cell raised an error, or took too long."""

    error: str
    """Last line of the traceback."""
    trace: str = ""
    """The whole of it."""

    @classmethod
    def from_error(cls, error: BaseException) -> "Failed":
        """Describe what was raised."""
        return cls(last_line(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Died:
    """A worker ended before its cell did: killed, out of memory, or its machine is gone."""

    reason: str
    """How it ended."""


Ending = Finished | Failed | Died


def execute(job: Job) -> Finished:
    """Compute a cell with one thread.

    Raises:
        OptionError: its result is no mapping.
        TypeError: its result holds what JSON does not know.
        Exception: whatever the cell raises.
    """
    job.context.folder.mkdir(parents=True, exist_ok=True)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    with limited_threads(1):
        result = plain_values(job.function(job.settings, job.context))
    if not isinstance(result, dict):
        raise OptionError(f"{job.function.__name__} returns {type(result).__name__} instead of a mapping.")
    json.dumps(result)  # what cannot be kept is an error of the cell, found where it is computed
    return Finished(result, time.perf_counter() - begin, time.process_time() - begin_cpu)


def last_line(error: BaseException) -> str:
    """Return the last line of a traceback."""
    return traceback.format_exception_only(error)[-1].strip()
