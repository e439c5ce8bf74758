"""Solving the programs of a batch one after another by CasADi's `nlpsol`, in stages of annealing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import casadi
import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Parameters, Status
from trajopt_sgp.solvers.base import Outcome, Start
from trajopt_sgp.solvers.casadi_callbacks import ProgramFunctions
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.remembered import RememberedDerivatives
from trajopt_sgp.solvers.run import Run

Stats = Mapping[str, Any]

GENERAL_OPTIONS = {
    "calc_lam_p": False,
    "print_time": False,
    "error_on_fail": False,
    "show_eval_warnings": False,
}
"""Of every `nlpsol`."""


@runtime_checkable
class StageSolver(Protocol):
    """What solves a program at one place on the annealing schedule: a solver of CasADi, or what is called alike."""

    def __call__(self, **arguments: Any) -> Mapping[str, Any]:
        """Return x, lam_g and lam_x from x0, perhaps lam_g0 and lam_x0, and bounds."""
        ...

    def stats(self) -> Stats:
        """Return the statistics of the last call."""
        ...


class Order:
    """The order of variables and rows that a solver wants: here the program's own."""

    def variables(self, values: FloatArray) -> FloatArray:
        """Return variables of the program in the order of the solver."""
        return values

    def rows(self, values: FloatArray) -> FloatArray:
        """Return values of rows of the program in the order, and with the signs, of the solver."""
        return values

    def own_variables(self, values: FloatArray) -> FloatArray:
        """Return variables of the solver in the order of the program."""
        return values

    def own_rows(self, values: FloatArray) -> FloatArray:
        """Return values of rows of the solver in the order, and with the signs, of the program."""
        return values


@dataclass(eq=False)
class Nlpsol:
    """A minimiser made of CasADi solvers: one for each stage, and one that starts from multipliers."""

    program: NonlinearProgram
    """What they solve."""
    derivatives: RememberedDerivatives
    """Of the program in its own order."""
    functions: ProgramFunctions
    """Which the solvers call."""
    stages: Sequence[tuple[float, StageSolver]]
    """Places on the annealing schedule, with the solver for each."""
    warm: StageSolver
    """Used where multipliers are given."""
    status: Callable[[Stats], Status]
    """What the statistics of a solver claim."""
    iterations: Callable[[Stats], Iterable[Mapping[str, float]]] = lambda stats: ()
    """What the statistics of a solver tell of its iterations, in the words of `Solution.log`; where that is nothing,
    the log holds what was seen of the iterates."""
    tolerance: float = 1e-8
    """Of the optimality conditions."""
    order: Order = field(default_factory=Order)
    """Of its variables and rows in the solvers."""

    def minimise(self, start: Start) -> list[Outcome]:
        """Solve every program of a batch."""
        with Limits(start.time_limit) as limits:
            return [
                self._solve(guess, start.multipliers_of(k), self._run(start.one(k), limits))
                for k, guess in enumerate(start.variables)
            ]

    def _run(self, parameters: Parameters, limits: Limits) -> Run:
        return Run(self.program, self.derivatives, parameters, limits, self.tolerance)

    def _solve(self, guess: FloatArray, multipliers: Mapping[str, FloatArray], run: Run) -> Outcome:
        guess = run.clip(guess)
        stages = [(self.stages[-1][0], self.warm)] if multipliers else self.stages
        run.enter_stage(stages[0][0])
        run.keep(guess)
        if run.impossible:
            return run.outcome(guess, {}, Status.INFEASIBLE, 0)
        self.functions.run = run
        point, status = self._point(guess, multipliers), Status.FAILED
        for progress, solver in stages:
            run.enter_stage(progress)
            status, result = self._call(solver, {**point, **self._sides(run)})
            told = list(self.iterations(_stats(solver))) if result else []
            run.log += [{"progress": progress, **entry} for entry in told or run.seen]
            if result:
                point = {"x0": result["x"], "lam_g0": result["lam_g"], "lam_x0": result["lam_x"]}
            if run.must_stop() or not result:
                break
        self.functions.run = None
        return run.outcome(
            self.order.own_variables(_vector(point["x0"])), self._multipliers(point), status, len(run.log)
        )

    def _call(self, solver: StageSolver, arguments: Mapping[str, Any]) -> tuple[Status, Mapping[str, Any]]:
        """Return how a solver ended and what it found; nothing where CasADi gave up, as on numbers not finite."""
        try:
            result = solver(**arguments)
        except RuntimeError:
            return Status.FAILED, {}
        return self.status(_stats(solver)), result

    def _multipliers(self, point: Mapping[str, Any]) -> dict[str, FloatArray]:
        if "lam_g0" not in point:
            return {}
        return {
            "constraints": self.order.own_rows(_vector(point["lam_g0"])),
            "bounds": self.order.own_variables(_vector(point["lam_x0"])),
        }

    def _point(self, guess: FloatArray, multipliers: Mapping[str, FloatArray]) -> dict[str, Any]:
        point: dict[str, Any] = {"x0": self.order.variables(guess)}
        if multipliers:
            point["lam_g0"] = self.order.rows(multipliers["constraints"])
            point["lam_x0"] = self.order.variables(multipliers["bounds"])
        return point

    def _sides(self, run: Run) -> dict[str, FloatArray]:
        lower, upper = (self.order.variables(side) for side in run.bounds)
        below, above = (self.order.rows(side) for side in self.derivatives.bounds())
        return {"lbx": lower, "ubx": upper, "lbg": np.minimum(below, above), "ubg": np.maximum(below, above)}


def _stats(solver: StageSolver) -> Stats:
    """Return the statistics of the last call; CasADi may have none where a solver gave up."""
    try:
        stats: Stats = solver.stats()
    except RuntimeError:
        return {"return_status": ""}
    return stats


def build(
    plugin: str, name: str, nlp: casadi.Function, settings: Mapping[str, Any], options: Mapping[str, Any]
) -> casadi.Function:
    """Return a solver of CasADi.

    Raises:
        OptionError: it does not know one of the options; tells what CasADi says.
    """
    try:
        return casadi.nlpsol(plugin, plugin, nlp, {**GENERAL_OPTIONS, **settings})
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise OptionError(f"{name} refused its options {dict(options)}: {lines[-1]}") from error


def _vector(value: Any) -> FloatArray:
    return np.array(value, dtype=np.float64).ravel()
