"""One solve of one program: what limits it, what it saw, the best iterate, and how honest its end is."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.errors import NotFiniteError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.formulations.excess import excess
from trajopt_sgp.formulations.optimality import kkt_residual
from trajopt_sgp.problem import KktResidual, Parameters, Status
from trajopt_sgp.solvers.base import Outcome, Start
from trajopt_sgp.solvers.finite import check_finite_program
from trajopt_sgp.solvers.limits import Limits

Bounds = tuple[FloatArray, FloatArray]

FEASIBILITY = 1e-6
"""Largest scaled violation of an iterate that counts as feasible; where that is more, ten times the tolerance."""
OPTIMAL = 1e-6
"""Residual of the optimality conditions, relative to the largest multiplier, of what is called solved."""
ACCEPTABLE = 1e-4
"""The same for what is called acceptable."""


@dataclass(eq=False)
class Run:
    """Limits, best iterate and faults of a solve, and its outcome.

    An iterate within `feasibility` of all bounds is better than any that is not; of those the one of least objective is
    best, of the others the least violated one.
    """

    program: NonlinearProgram
    """What is solved."""
    derivatives: ProgramDerivatives
    """Of the program, in the order of its own variables and rows."""
    parameters: Parameters
    """Of the present stage of annealing."""
    limits: Limits
    """When the solve must end."""
    tolerance: float = 1e-8
    """What the solver was asked for; a loose one is judged by itself."""
    seconds: float = 0.0
    """Wall time of the evaluations so far."""
    error: BaseException | None = None
    """What an evaluation raised."""
    stopped: Status | None = None
    """Why the solver was asked to stop."""
    not_finite: FloatArray | None = None
    """Where an evaluation was not finite for the first time."""
    log: list[Mapping[str, Any]] = field(default_factory=list)
    """One entry per iteration."""
    feasibility: float = field(init=False)
    """Largest scaled violation of a feasible iterate."""
    bounds: Bounds = field(init=False)
    """Of the variables."""
    row_bounds: Bounds = field(init=False)
    """Of the scaled rows."""
    best: FloatArray = field(init=False)
    """Best iterate."""
    best_objective: float = np.inf
    """Its objective in the present stage."""
    best_violation: float = np.inf
    """Its scaled violation."""
    seen: list[Mapping[str, float]] = field(default_factory=list)
    """Merit and violation of the iterates of the present stage."""
    begin: float = field(default_factory=time.perf_counter)
    """When the run began."""

    def __post_init__(self) -> None:
        self.feasibility = max(FEASIBILITY, 10.0 * self.tolerance)
        self.bounds = self.program.bounds(self.parameters.initial_state.numpy())
        self.row_bounds = self.derivatives.bounds()
        self.best = np.zeros(self.derivatives.size)

    @property
    def impossible(self) -> bool:
        """Whether a lower bound lies above its upper bound."""
        return any(bool((lower > upper).any()) for lower, upper in (self.bounds, self.row_bounds))

    def clip(self, variables: FloatArray) -> FloatArray:
        """Return variables moved within their bounds."""
        clipped: FloatArray = np.clip(variables, *self.bounds)
        return clipped

    def must_stop(self) -> bool:
        """Return whether the time is over, Ctrl-C was pressed or an evaluation raised."""
        if self.stopped is None:
            self.stopped = self.limits.reached()
        return self.stopped is not None or self.error is not None

    def enter_stage(self, place: float) -> None:
        """Go on at a place on annealing schedules; the best iterate stays until another is better."""
        self.seen = []
        if self.parameters.progress != place:
            # else the same object, for which values are remembered
            self.parameters = replace(self.parameters, progress=place)
        if np.isfinite(self.best_violation):
            self.best_objective = self.derivatives.objective(self.best, self.parameters)

    def keep(self, variables: FloatArray) -> None:
        """Compare an iterate with the best one."""
        objective = self.derivatives.objective(variables, self.parameters)
        violation = self.violation(variables)
        self.seen.append({"merit": objective, "violation": violation})
        if not (np.isfinite(objective) and np.isfinite(violation)):
            return
        if violation <= self.feasibility:
            better = self.best_violation > self.feasibility or objective < self.best_objective
        else:
            better = violation < self.best_violation
        if better:
            self.best, self.best_objective, self.best_violation = variables.copy(), objective, violation

    def violation(self, variables: FloatArray) -> float:
        """Return the largest scaled violation of a row or a bound."""
        rows = self.derivatives.rows(variables, self.parameters)
        parts = excess(rows, *self.row_bounds), excess(variables, *self.bounds)
        return float(np.max([np.abs(part).max(initial=0.0) for part in parts]))

    def note(self, variables: FloatArray, *results: float | FloatArray) -> None:
        """Remember the first point at which a result is not finite."""
        if self.not_finite is None and not all(map(_finite, results)):
            self.not_finite = variables.copy()

    def outcome(
        self, variables: FloatArray, multipliers: Mapping[str, FloatArray], claimed: Status, iterations: int
    ) -> Outcome:
        """Return the outcome after a solver has ended at `variables` and claims a status.

        What is called solved or acceptable satisfies the optimality conditions, recomputed here; anything else returns
        the best iterate.
        """
        if self.error is not None:
            raise self.error
        finite = bool(np.isfinite(variables).all())
        if finite and not (self.stopped and np.isfinite(self.best_violation)):
            self.keep(variables)
        status = self._judge(variables, multipliers, claimed) if finite else self._failure(claimed)
        chosen = variables if status.ok else self.best
        feasible = self.best_violation <= self.feasibility
        merit = self.derivatives.objective(chosen, self.parameters.at_end()) if status.ok or feasible else np.inf
        seconds = {"derivatives": self.seconds, "solver": time.perf_counter() - self.begin - self.seconds}
        if (overrun := self.limits.overrun) is not None:
            seconds["overrun"] = overrun
        return Outcome(chosen, status, iterations, merit, multipliers, seconds, self._complete_log(status))

    def residual(self, variables: FloatArray, multipliers: Mapping[str, FloatArray]) -> KktResidual:
        """Return the residual of the optimality conditions."""
        return kkt_residual(self.derivatives, self.bounds, variables, multipliers, self.parameters)

    def _judge(self, variables: FloatArray, multipliers: Mapping[str, FloatArray], claimed: Status) -> Status:
        if self.stopped is not None:
            return self.stopped
        if claimed in (Status.SOLVED, Status.ACCEPTABLE, Status.FAILED):
            residual = self.residual(variables, multipliers)
            feasible = residual.feasibility <= self.feasibility  # large multipliers excuse no violation
            if feasible and residual.holds(max(OPTIMAL, 10.0 * self.tolerance)):
                return Status.SOLVED
            if feasible and residual.holds(max(ACCEPTABLE, 1e3 * self.tolerance)):
                return Status.ACCEPTABLE
        if self._stuck_outside(self.best):
            return Status.INFEASIBLE
        return self._failure(claimed)

    def _failure(self, claimed: Status) -> Status:
        if self.stopped is not None:
            return self.stopped
        if claimed.ok or claimed is Status.FAILED:
            return Status.NOT_FINITE if self.not_finite is not None else Status.FAILED
        return claimed

    def _stuck_outside(self, variables: FloatArray) -> bool:
        """Return whether a point violates rows, and no small step reduces the sum of the squared violations."""
        if not self.feasibility < self.best_violation < np.inf:
            return False
        rows, values = self.derivatives.jacobian(variables, self.parameters)
        outside, pattern = excess(rows, *self.row_bounds), self.derivatives.jacobian_pattern
        gradient = np.bincount(pattern.columns, values * outside[pattern.rows], self.derivatives.size)
        step = variables - self.clip(variables - gradient)
        return bool(np.abs(step).max(initial=0.0) <= ACCEPTABLE * np.abs(outside).max(initial=0.0))

    def _complete_log(self, status: Status) -> list[Mapping[str, Any]]:
        if self.not_finite is None or status.ok:
            return self.log
        nothing = {"progress": self.parameters.progress, "merit": np.nan, "violation": np.nan}
        last = self.log[-1] if self.log else nothing
        return [*self.log[:-1], {**last, "not_finite": self._name_not_finite(self.not_finite)}]

    def _name_not_finite(self, variables: FloatArray) -> str:
        """Return which term is not finite at a point, at which knot and for which variables."""
        batch = replace(self.parameters, initial_state=self.parameters.initial_state[None])
        try:
            check_finite_program(self.program, Start(variables[None], batch), place="")
        except NotFiniteError as error:
            return str(error)
        return self._name_gradient(variables)

    def _name_gradient(self, variables: FloatArray) -> str:
        gradient = self.derivatives.gradient(variables, self.parameters)[1]
        values = self.derivatives.jacobian(variables, self.parameters)[1]
        pattern = self.derivatives.jacobian_pattern
        if not np.isfinite(values).all():
            entry = int(np.argmin(np.isfinite(values)))
            name, knot = self.derivatives.row_name(int(pattern.rows[entry]))
            place = int(pattern.columns[entry])
            what = f"The derivative of {name} at knot {knot}"
        elif not np.isfinite(gradient).all():
            place, what = int(np.argmin(np.isfinite(gradient))), "The derivative of the costs"
        else:
            return "A second derivative is NaN or infinite."
        value = variables[place] * self.program.scale[place]
        return f"{what} by {self.program.variable_name(place)} is NaN or infinite, where that is {value:.4g}."


@dataclass
class Measured:
    """Add the time of a block to that of a run, and keep what it raises from passing through a foreign solver."""

    run: Run
    """Whose time and error are meant."""
    begin: float = 0.0
    """When the block began."""

    def __enter__(self) -> None:
        self.begin = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.run.seconds += time.perf_counter() - self.begin
        if error is not None and self.run.error is None:
            self.run.error = error
        return True


def _finite(result: float | FloatArray) -> bool:
    # a product tells in one pass; it is infinite for huge numbers too
    return math.isfinite(np.vdot(result, result)) or bool(np.isfinite(result).all())
