"""Cells in processes of this machine. A worker may be killed at any time: the pool notices and starts another."""

import multiprocessing
import os
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.runner.job import Died, Ending, Failed, Job, execute

_STARTED = "started"
_RAISED = 1  # exit code of a process that an error has ended
# a server that has imported everything forks workers: each starts in milliseconds, and inherits no thread and no lock
_CONTEXT = multiprocessing.get_context("forkserver")

_REMEDY = (
    "Put functions of cells into a module, and what a script does below `if __name__ == '__main__':`; or use Serial(), "
    "which needs no workers."
)


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    began: bool = False
    job: Job | None = None
    deadline: float | None = None


class ProcessPool:
    """Fresh processes of one thread each; they end with this process, whatever ends it.

    Raises:
        OptionError: `workers` is below 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise OptionError(f"workers = {workers}: a pool needs at least one.")
        _CONTEXT.set_forkserver_preload([__name__])
        self._capacity = workers
        self._workers: list[_Worker] = []

    @property
    def capacity(self) -> int:
        """The number of workers."""
        return self._capacity

    @property
    def process_ids(self) -> dict[str, int]:
        """Process ids of the workers that are busy, by the key of their job."""
        return {worker.job.key: worker.process.pid or 0 for worker in self._workers if worker.job is not None}

    def submit(self, job: Job) -> None:
        """Give a job to an idle worker, a new one if need be.

        Raises:
            OptionError: its function was typed into Python, where workers cannot import it from, or see `wait`.
        """
        if job.function.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
            raise OptionError(f"{_named(job)} was typed into Python and is in no file. {_REMEDY}")
        while True:
            worker = next((worker for worker in self._workers if worker.job is None), None) or self._start_worker()
            worker.job = job
            try:
                worker.connection.send(job)
            except BrokenPipeError:  # it was killed while it was idle
                self._bury(worker)
                continue
            return

    def wait(self, seconds: float) -> list[tuple[str, Ending]]:
        """Return key and ending of jobs that have ended, waiting at most so long.

        Raises:
            OptionError: a worker failed before it began, as where the script that runs is not one that it can import.
        """
        ends = [worker.deadline for worker in self._workers if worker.deadline is not None]
        left = min([seconds, *(max(0.0, end - time.monotonic()) for end in ends)])
        ready = wait([worker.connection for worker in self._workers], timeout=left)
        endings = [self._receive(worker) for worker in [*self._workers] if worker.connection in ready]
        endings += [self._stop_late(worker) for worker in [*self._workers]]
        return [ending for ending in endings if ending is not None]

    def close(self) -> None:
        """Kill all workers."""
        for worker in [*self._workers]:
            self._discard(worker)

    def _start_worker(self) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> tuple[str, Ending] | None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if worker.job is None:
            return None
        if message == _STARTED:
            worker.began = True
            limit = worker.job.time_limit
            worker.deadline = None if limit is None else time.monotonic() + limit
            return None
        ending = worker.job.key, cast(Ending, message)
        worker.job = worker.deadline = None
        return ending

    def _bury(self, worker: _Worker) -> tuple[str, Ending] | None:
        worker.process.join()
        code, job = worker.process.exitcode or 0, worker.job
        self._discard(worker)
        if code == _RAISED and job is not None and not worker.began:
            raise OptionError(f"No worker can begin {_named(job)}: it fails to import the script that runs. {_REMEDY}")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return None if job is None else (job.key, Died(f"its worker {how}"))

    def _stop_late(self, worker: _Worker) -> tuple[str, Ending] | None:
        if worker.job is None or worker.deadline is None or time.monotonic() < worker.deadline:
            return None
        job = worker.job
        self._discard(worker)
        return job.key, Failed(f"TimeoutError: not done after {job.time_limit:g} s")

    def _discard(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.connection.close()
        self._workers.remove(worker)


def _named(job: Job) -> str:
    return f"{job.function.__module__}.{job.function.__name__}"


def _serve(connection: Connection) -> None:
    """Compute jobs until one raises, which ends this process after telling; runs in a worker."""
    os.setpgrp()  # Ctrl-C of the terminal reaches the parent alone
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        while True:
            job: Job = connection.recv()
            connection.send(_STARTED)
            connection.send(execute(job))
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            connection.send(Failed.from_error(error))
        connection.close()
        os._exit(0)  # the error was told: no traceback on the terminal


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
