"""The same processor time for every planner, and the memory that it takes."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import CEM, MPPI, GradientDescent, Ipopt, PreparedSolve, prepare
from trajopt_sgp.solvers.base import Solver

_TRIAL, _FEWEST, _MOST = 4, 3, 3000
_STATUS = Path("/proc/self/statm")
_LOOK_EVERY = 0.005


def prepare_within(
    problem: OptimalControlProblem,
    formulation: Formulation,
    solver: Solver,
    seconds: float,
    solve: Callable[[PreparedSolve], Any],
    most: int = _MOST,
) -> PreparedSolve:
    """Prepare a solver with as many iterations as fit into the time of one solve, so that its schedules end in it.

    What an iteration takes is measured after a first solve, which may compile kernels. The iterations of Ipopt do not
    make its schedule: each of its stages may take an even share of the time.

    Args:
        problem: what is solved.
        formulation: how it is transcribed.
        solver: its iterations are replaced.
        seconds: processor time of one solve; other than wall time it does not depend on what else the machine does.
        solve: makes one solve, for the measurement.
        most: iterations, whatever the time.

    Raises:
        OptionError: another solver than gradient descent, CEM, MPPI or Ipopt.
    """
    if isinstance(solver, Ipopt):
        limit = {"max_cpu_time": seconds / solver.stages}
        return prepare(problem, formulation, replace(solver, options={**solver.options, **limit}))
    if not isinstance(solver, GradientDescent | CEM | MPPI):
        raise OptionError(f"{solver.name} has no iterations to fit: choose GradientDescent, CEM, MPPI or Ipopt.")
    trial = prepare(problem, formulation, replace(solver, iterations=_TRIAL))
    solve(trial)
    begin = time.process_time()
    solve(trial)
    fitting = round(seconds * _TRIAL / (time.process_time() - begin))
    return prepare(problem, formulation, replace(solver, iterations=min(max(fitting, _FEWEST), most)))


class PeakMemory:
    """Watches the resident memory of this process while it is entered, every 5 ms, on Linux."""

    def __init__(self) -> None:
        self._first = self._most = _resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def megabytes(self) -> float | None:
        """How far memory has risen above what was taken on entry [MB]; None where the system does not tell."""
        if self._first is None or self._most is None:
            return None
        return (self._most - self._first) / 1e6

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self._most = max(self._most or 0, _resident() or 0)


def _resident() -> int | None:
    if not _STATUS.exists():
        return None
    return int(_STATUS.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
