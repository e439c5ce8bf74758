"""Cells on Ray: one started here, or a cluster whose machines have this package and share the folder of the run."""

import os
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.runner.job import Died, Ending, Failed, Job, execute, last_line

LOCAL = "local"
"""Address that starts a Ray of its own on this machine."""


@dataclass(eq=False)
class _Task:
    job: Job
    deadline: float | None


class RayCluster:
    """Ray tasks of one processor each.

    Args:
        address: of a cluster, as `ray.init` takes it, or "local".
        workers: how many cells at a time: processors of a local Ray; at most the processors of a cluster.

    Raises:
        OptionError: Ray is not installed, no cluster answers at the address, or `workers` is below 1.
    """

    def __init__(self, address: str, workers: int) -> None:
        if workers < 1:
            raise OptionError(f"workers = {workers}: Ray needs at least one.")
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            raise OptionError("Ray is not installed: pip install 'trajopt_sgp[ray]'.") from error
        self._ray = ray
        _connect(ray, address, workers)
        self._capacity = min(workers, int(ray.cluster_resources().get("CPU", 1)))
        # dead workers are counted and replaced by whoever submits, as with every back end
        self._execute = ray.remote(num_cpus=1, max_retries=0)(execute)
        self._tasks: dict[Any, _Task] = {}

    @property
    def capacity(self) -> int:
        """How many cells at a time."""
        return self._capacity

    def submit(self, job: Job) -> None:
        """Start a job; its time limit counts from here."""
        deadline = None if job.time_limit is None else time.monotonic() + job.time_limit
        self._tasks[self._execute.remote(job)] = _Task(job, deadline)

    def wait(self, seconds: float) -> list[tuple[str, Ending]]:
        """Return key and ending of jobs that have ended, waiting at most so long."""
        if not self._tasks:
            return []
        ends = [task.deadline for task in self._tasks.values() if task.deadline is not None]
        left = min([seconds, *(max(0.0, end - time.monotonic()) for end in ends)])
        ready, waiting = self._ray.wait([*self._tasks], num_returns=1, timeout=left)
        late = [reference for reference in waiting if self._is_late(self._tasks[reference])]
        return [self._take(reference) for reference in ready] + [self._stop(reference) for reference in late]

    def close(self) -> None:
        """Leave the cluster, which ends what was submitted; a local Ray ends with it."""
        self._tasks.clear()
        self._ray.shutdown()

    def _take(self, reference: Any) -> tuple[str, Ending]:
        task = self._tasks.pop(reference)
        errors = self._ray.exceptions
        try:
            return task.job.key, self._ray.get(reference)
        except errors.RayTaskError as error:
            return task.job.key, Failed(last_line(error.cause), str(error))
        except errors.RayError as error:
            return task.job.key, Died(f"its Ray worker ended: {last_line(error)}")

    def _stop(self, reference: Any) -> tuple[str, Ending]:
        job = self._tasks.pop(reference).job
        self._ray.cancel(reference, force=True)
        return job.key, Failed(f"TimeoutError: not done after {job.time_limit:g} s")

    @staticmethod
    def _is_late(task: _Task) -> bool:
        return task.deadline is not None and time.monotonic() >= task.deadline


def _connect(ray: Any, address: str, workers: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use to its makers
    quiet = {"include_dashboard": False, "num_cpus": workers} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise OptionError(f"No Ray at {address!r}: {reason} Give the address of a cluster, or {LOCAL!r}.") from error
