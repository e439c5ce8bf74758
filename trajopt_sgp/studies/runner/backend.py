"""Where cells are computed: the interface of all back ends, and the simplest of them."""

from typing import Protocol, runtime_checkable

from trajopt_sgp.studies.runner.job import Ending, Job, execute


@runtime_checkable
class Backend(Protocol):
    """Computes jobs, some at a time, and tells how each ended. It repeats nothing: that is up to its caller."""

    @property
    def capacity(self) -> int:
        """How many jobs it takes at a time."""

    def submit(self, job: Job) -> None:
        """Start a job; no more than `capacity` at a time."""

    def wait(self, seconds: float) -> list[tuple[str, Ending]]:
        """Return key and ending of jobs that have ended, waiting for the first of them at most so long."""

    def close(self) -> None:
        """End what still runs."""


class Serial:
    """One job after another in this process, for debugging: an error of a cell is raised, time limits are not kept."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    @property
    def capacity(self) -> int:
        """One."""
        return 1

    def submit(self, job: Job) -> None:
        """Remember a job."""
        self._jobs.append(job)

    def wait(self, seconds: float) -> list[tuple[str, Ending]]:
        """Compute what was submitted; takes as long as it takes."""
        jobs, self._jobs = self._jobs, []
        return [(job.key, execute(job)) for job in jobs]

    def close(self) -> None:
        """Forget what was not computed."""
        self._jobs.clear()
