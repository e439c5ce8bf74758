"""The programs of a batch in several processes, for solvers that work on one program at a time."""

import multiprocessing
import os
import signal
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, ForkProcess

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.options import check_counts
from trajopt_sgp.problem import Certificate, OptimalControlProblem, Solution, Status, Trajectory
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.solve import Changes, PreparedSolve, prepare

_POLL = 0.1
"""Seconds between two looks for Ctrl-C."""


def solve_in_processes(
    problem: OptimalControlProblem,
    initial_states: ArrayLike,
    formulation: Formulation,
    solver: Solver,
    guess: Trajectory | None = None,
    *,
    workers: int = 2,
    parameters: Changes | None = None,
    time_limit: float | None = None,
    generator: np.random.Generator | None = None,
    certificate: Certificate | None = None,
) -> list[Solution]:
    """Solve the same problem from B initial states `(B, n)`, `workers` programs at a time.

    Results, other arguments and errors are those of `solve_batch`; the order of the programs does not depend on the
    processes. For solvers that work on one program at a time, such as Ipopt; the others solve a batch at once.

    Raises:
        OptionError: `workers` is not a whole number of at least 1.
        IncompatibleError: the platform cannot fork processes.
    """
    check_counts("solve_in_processes", workers=workers)
    prepared = in_processes(prepare(problem, formulation, solver), workers)
    solutions = prepared.solve_batch(
        initial_states, guess, parameters=parameters, time_limit=time_limit, generator=generator
    )
    return solutions if certificate is None else [solution.with_certificate(certificate) for solution in solutions]


def in_processes(prepared: PreparedSolve, workers: int) -> PreparedSolve:
    """Return a prepared solve whose batches, multi-starts too, are shared out among processes.

    Raises:
        IncompatibleError: the platform cannot fork processes.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        raise IncompatibleError("Processes are forked, which this platform cannot do; use solve_batch.")
    return prepared.spread_by(lambda minimiser: lambda start: _Pool(minimiser, start, workers).run())


@dataclass
class _Pool:
    """Forked processes inherit the minimiser and the start, closures included; only outcomes travel, as plain data."""

    minimiser: Minimiser
    start: Start
    workers: int
    context: ForkContext = field(default_factory=lambda: multiprocessing.get_context("fork"))
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def run(self) -> list[Outcome]:
        count = len(self.start.variables)
        if min(self.workers, count) == 1:
            return self.minimiser(self.start)
        self.taken, self.halted = self.context.Value("i", 0), self.context.Value("b", 0)
        with Limits(self.start.time_limit) as self.limits:
            self._collect()
        return [self.outcomes.get(k) or self._missing(k) for k in range(count)]

    def _collect(self) -> None:
        """Start the processes and gather what they send until the last of them has ended."""
        processes = [self._fork() for _ in range(min(self.workers, len(self.start.variables)))]
        open_ends = {connection for _, connection in processes}
        while open_ends:
            for ready in wait(list(open_ends), timeout=_POLL):
                self._receive(ready, open_ends)
            if self.limits.interrupted and not self.halted.value:
                self.halted.value = 1
                for process, _ in processes:
                    if process.is_alive() and process.pid is not None:
                        os.kill(process.pid, signal.SIGINT)
        for process, _ in processes:
            process.join()

    def _receive(self, connection: object, open_ends: set[Connection]) -> None:
        if not isinstance(connection, Connection):
            return
        try:
            place, outcome = connection.recv()
            self.outcomes[place] = outcome
        except EOFError:
            open_ends.discard(connection)

    def _fork(self) -> tuple[ForkProcess, Connection]:
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=self._work, args=(sender,), daemon=True)
        process.start()
        sender.close()
        return process, receiver

    def _work(self, sender: Connection) -> None:
        """Take programs until none is left; runs in a forked process."""
        os.setpgrp()  # Ctrl-C of the terminal reaches the parent alone, which passes it on once
        torch.set_num_threads(1)  # threads of the parent's pools do not exist here
        try:
            while not self.halted.value and (place := self._take()) < len(self.start.variables):
                sender.send((place, self.minimiser(self._single(place))[0]))
        finally:
            sender.close()
            os._exit(0)  # neither a traceback, which the parent will raise, nor what the parent does at its own exit

    def _take(self) -> int:
        with self.taken.get_lock():
            place: int = self.taken.value
            self.taken.value += 1
        return place

    def _single(self, place: int) -> Start:
        chosen = slice(place, place + 1)
        states = self.start.parameters.initial_state[chosen]
        return Start(
            self.start.variables[chosen],
            replace(self.start.parameters, initial_state=states),
            self.start.multipliers[chosen],
            self.start.laws[chosen],
            self.limits.left,
        )

    def _missing(self, place: int) -> Outcome:
        """Return the outcome of a program that no process has finished."""
        if self.limits.interrupted:
            return Outcome(self.start.variables[place], Status.INTERRUPTED, 0, np.inf)
        # what ended the process, an error of a user's function for example, happens here again and reaches the user
        return self.minimiser(self._single(place))[0]
