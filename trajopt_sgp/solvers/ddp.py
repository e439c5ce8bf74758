"""Differential dynamic programming: Newton steps in single shooting by a recursion over the stages, under feedback."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.formulations.excess import excess
from trajopt_sgp.formulations.scaling import is_far
from trajopt_sgp.options import check_choice, check_counts, check_positive
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.annealing import schedule, staged
from trajopt_sgp.solvers.augmented_lagrangian import AugmentedLagrangian
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.plan_rollout import PlanRollout
from trajopt_sgp.solvers.riccati import Feedback, sweep
from trajopt_sgp.solvers.run import ACCEPTABLE, OPTIMAL
from trajopt_sgp.solvers.stage_model import StageDerivatives, StageModel
from trajopt_sgp.solvers.stages import check_stages

_LENGTHS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
_ARMIJO = 1e-4
_ATTEMPTS = 12
# In units of the largest curvature of a knot, or of the slope: steps of the order of the control range.
_LEAST_DAMPING, _DAMPING_FACTOR = 1e-5, 4.0
# A decrease that rounding hides.
_NEGLIGIBLE = 1e-13
_FIRST_INNER_TOLERANCE = 1e-2
_ENDS = (Status.TIME_LIMIT, Status.INTERRUPTED, Status.NOT_FINITE)


@dataclass(frozen=True)
class DDP(Solver):
    """Single shooting that keeps unstable systems in hand: every step is a feedback along the last plan.

    A recursion over the stages finds the minimum of the Lagrangian's quadratic model as feedback on the deviations of
    the states, and the step is rolled out under it: what the model leaves out is corrected on the way instead of
    growing along the horizon. Controls at a bound that the slope pushes against are held; where the model has no
    minimum its negative curvature is left out, then it is damped. Constraints besides the bounds of the controls are
    met by an augmented Lagrangian. The feedback of the solution is `solution.feedback`, and `MPC` starts the next step
    under it.

    Sources: D. H. Jacobson and D. Q. Mayne, Differential Dynamic Programming (1970); J. C. Dunn and D. P. Bertsekas, J.
    Optimization Theory and Applications 63 (1989); with `hessian="gauss-newton"` the iterative LQR of W. Li and E.
    Todorov, ICINCO 2004; constraints as in T. A. Howell et al., ALTRO, IROS 2019.
    """

    tolerance: float = 1e-8
    """Of the derivative of the augmented objective by the controls, bounds considered; where rounding hides any
    progress, 1e-6 relative to the largest multiplier above 1 will do."""
    feasibility: float = 1e-6
    """Largest violation of a scaled constraint, and of complementarity."""
    max_iterations: int = 300
    """Per stage."""
    stages: int = 4
    """Places on the schedule of an annealed distance to data; 1 solves at its end only."""
    stage_tolerance: float = 1e-3
    """As `tolerance`, in the stages before the last."""
    hessian: Literal["exact", "gauss-newton"] = "exact"
    """Second derivatives: all of them, or those that squares of residuals and other costs give."""
    penalty: float = 10.0
    """First penalty of constraints in the augmented Lagrangian."""
    starts: int = 1
    """Guesses made where the user gives fewer: the first as given, the rest at random; solved one after another."""

    needs_value: ClassVar[bool] = True
    needs_rollout: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        positive = {name: getattr(self, name) for name in ("tolerance", "feasibility", "stage_tolerance", "penalty")}
        check_positive("DDP", **positive)
        check_counts("DDP", max_iterations=self.max_iterations, stages=self.stages, starts=self.starts)
        check_choice("DDP", "hessian", self.hessian, ("exact", "gauss-newton"))

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that the program is a chain of stages.

        Raises:
            IncompatibleError: it has other variables than the controls, or a term that joins several knots; names it.
        """
        check_stages(program, "DDP", "SingleShooting")
        if program.elimination is None:
            raise IncompatibleError("DDP needs states that follow from the controls.")
        plans = PlanRollout(program, program.elimination)
        workshop = _Workshop(self, program, plans, StageDerivatives(program, self.hessian == "exact"))

        def minimise(start: Start) -> list[Outcome]:
            with Limits(start.time_limit) as limits:
                plans.recheck()
                return [_Search(workshop, start, member, limits).solve() for member in range(len(start.variables))]

        return minimise


@dataclass(frozen=True, eq=False)
class _Workshop:
    """What all searches of a program share."""

    settings: DDP
    """Of the solver."""
    program: NonlinearProgram
    """What is solved."""
    plans: PlanRollout
    """Makes plans."""
    derivatives: StageDerivatives
    """At plans."""


class _Search:
    """The search of one program."""

    def __init__(self, workshop: _Workshop, start: Start, member: int, limits: Limits) -> None:
        self.workshop, self.settings, self.limits = workshop, workshop.settings, limits
        self.plans, self.derivatives = workshop.plans, workshop.derivatives
        self.parameters = start.one(member)
        self.begin, self.seconds = time.perf_counter(), 0.0
        lower, upper = (torch.from_numpy(side) for side in self.derivatives.row_bounds)
        self.lagrangian = AugmentedLagrangian(lower, upper, 1, self.settings.penalty)
        if known := start.multipliers_of(member):
            self.lagrangian.multipliers[0] = torch.from_numpy(known["constraints"])
        places = schedule(workshop.program, self.settings.stages, warm=bool(known))
        self.stages = staged(places, self.settings.tolerance, self.settings.stage_tolerance)
        law = start.laws[member] if start.laws else None
        if law is not None and law.plan.horizon == workshop.program.problem.horizon:
            self.full = self.plans.under_law(law, self.parameters)
        else:
            self.full = self.plans.open_loop(start.variables[member], self.parameters)
        self.rows = np.zeros(0)
        self.value = np.inf
        """Of the augmented objective."""
        self.model: StageModel | None = None
        """At the plan, None where it has to be made."""
        self.feedback: Feedback | None = None
        self.damping = 0.0
        self.log: list[Mapping[str, Any]] = []

    def solve(self) -> Outcome:
        """Return the plan after the last stage."""
        status = Status.NOT_FINITE
        for place, tolerance in self.stages:
            self.parameters = replace(self.parameters, progress=place)
            self.value, self.rows = self._evaluate(self.full)
            if not np.isfinite(self.value):
                return self._outcome(Status.NOT_FINITE)
            self.model, self.damping = None, 0.0
            status = self._minimise(tolerance)
            if status in _ENDS:
                break
        return self._outcome(Status.FAILED if status.ok and self._far_from_rows() else status)

    def _far_from_rows(self) -> bool:
        """Return whether rows that are flat at the plan, and steep where they got their scale, only seem to hold."""
        outside = self._outside()
        if not outside.any():
            return False
        slopes = np.abs(self.derivatives.row_slopes(self.full, self.parameters).slopes).max(-1)
        return is_far(np.abs(outside), slopes, self.settings.feasibility, float(np.finfo(np.float64).eps))

    def _minimise(self, tolerance: float) -> Status:
        """Search in one stage."""
        inner = max(tolerance, _FIRST_INNER_TOLERANCE) if self.derivatives.row_count else tolerance
        for _ in range(self.settings.max_iterations):
            stopped = self.limits.reached()
            if stopped is not None:
                return stopped
            model = self._model()
            if not model.finite:
                return Status.NOT_FINITE
            stationarity, residual = self._stationarity(model), self._residual()
            self._note(stationarity)
            if stationarity <= tolerance and residual <= self.settings.feasibility:
                self._find_feedback(model)
                return Status.SOLVED
            if stationarity > inner and self._improve(model):
                continue
            if residual <= self.settings.feasibility and stationarity > inner:
                return self.limits.reached() or self._end(model, stationarity)
            if self._move_multipliers():
                inner = max(tolerance, 0.1 * min(inner, residual))
            elif residual > self.settings.feasibility:
                return Status.INFEASIBLE if self._stuck_outside(model) else Status.FAILED
            else:
                inner = tolerance
        return Status.ITERATION_LIMIT

    def _end(self, model: StageModel, stationarity: float) -> Status:
        """Return what a plan is that no step improves: rounding may hide what is left of the slope."""
        size = max(1.0, float(self.lagrangian.multipliers.abs().amax()) if len(self.rows) else 0.0)
        if stationarity <= OPTIMAL * size:
            return Status.SOLVED
        hidden = stationarity**2 <= _NEGLIGIBLE * (1.0 + abs(self.value)) * self._unit(model)
        return Status.CONVERGED if hidden or stationarity <= ACCEPTABLE * size else Status.FAILED

    def _stuck_outside(self, model: StageModel) -> bool:
        """Return whether rows are violated, and no small step reduces the sum of the squared violations."""
        outside = self._outside()
        largest = np.abs(outside).max(initial=0.0)
        slope = self.derivatives.row_slope(self.full, self.parameters, model, outside)
        return bool(largest > self.settings.feasibility and self._projected(slope) <= ACCEPTABLE * largest)

    def _outside(self) -> FloatArray:
        """Return by how much each row is above or below its bounds, `(R,)`."""
        return excess(self.rows, *self.derivatives.row_bounds)

    def _unit(self, model: StageModel) -> float:
        """Return the damping that is of the order of the model."""
        slope = np.where(self._held(model), 0.0, model.slope)
        return max(float(np.abs(model.curvature).max()), float(np.abs(slope).max(initial=0.0)), 1e-12)

    def _improve(self, model: StageModel) -> bool:
        """Move to a better plan, and return whether there was one."""
        held, unit = self._held(model), self._unit(model)
        convex = False
        for _ in range(_ATTEMPTS):
            feedback = sweep(model, held, self.damping * unit)
            if feedback is not None:
                self.feedback = feedback
                if -feedback.decrease <= _NEGLIGIBLE * (1.0 + abs(self.value)):
                    return False
                if self._search_line(feedback, model.slope):
                    return True
            if self.limits.reached() is not None:
                return False
            if feedback is not None or convex:
                self.damping = max(_DAMPING_FACTOR * self.damping, _LEAST_DAMPING)
            if not convex:
                model, convex = model.convex(), True
        return False

    def _search_line(self, feedback: Feedback, slope: FloatArray) -> bool:
        for length in _LENGTHS:
            trial = self.plans.step(self.full, feedback, length, self.parameters)
            value, rows = self._evaluate(trial)
            if value <= self.value + _ARMIJO * self._expected(trial, length * feedback.decrease, slope):
                self.full, self.value, self.rows, self.model = trial, value, rows, None
                if length == 1.0:
                    lower = self.damping / _DAMPING_FACTOR
                    self.damping = lower if lower >= _LEAST_DAMPING else 0.0
                return True
        return False

    def _expected(self, trial: FloatArray, decrease: float, slope: FloatArray) -> float:
        """Return the decrease to first order, of what the bounds leave of a step where that is less."""
        if not np.isfinite(trial).all():
            return decrease
        moved = float((slope * (self.plans.controls(trial) - self.plans.controls(self.full))).sum())
        return max(decrease, moved) if moved < 0.0 else decrease

    def _find_feedback(self, model: StageModel) -> None:
        """Find the feedback along the plan that stays, where the search has none or one along another plan."""
        found = sweep(model, self._held(model), 0.0) or sweep(model.convex(), self._held(model), 1e-8)
        self.feedback = found or self.feedback

    def _evaluate(self, full: FloatArray) -> tuple[float, FloatArray]:
        """Return the augmented objective, infinite where it is not finite, and the rows."""
        begin = time.perf_counter()
        value, rows = np.inf, np.zeros(self.derivatives.row_count)
        if np.isfinite(full).all():
            value = self.derivatives.objective(full, self.parameters)
            rows = self.derivatives.rows(full, self.parameters)
            if len(rows):
                value += float(self.lagrangian.term(torch.from_numpy(rows)[None])[0])
        self.seconds += time.perf_counter() - begin
        return value if np.isfinite(value) else np.inf, rows

    def _model(self) -> StageModel:
        if self.model is None:
            begin = time.perf_counter()
            multipliers = self.lagrangian.estimate(torch.from_numpy(self.rows)[None])[0].numpy()
            penalties = np.where(multipliers != 0.0, float(self.lagrangian.penalty[0, 0]), 0.0)
            self.model = self.derivatives.model(self.full, self.parameters, multipliers, penalties)
            self.seconds += time.perf_counter() - begin
        return self.model

    def _held(self, model: StageModel) -> BoolArray:
        controls, slope = self.plans.controls(self.full), model.slope
        held: BoolArray = ((controls <= self.plans.lower) & (slope > 0.0)) | (
            (controls >= self.plans.upper) & (slope < 0.0)
        )
        return held

    def _stationarity(self, model: StageModel) -> float:
        return self._projected(model.slope)

    def _projected(self, slope: FloatArray) -> float:
        """Return the longest step of a control down a slope `(N, m)` within the bounds."""
        controls = self.plans.controls(self.full)
        moved = np.clip(controls - slope, self.plans.lower, self.plans.upper)
        return float(np.abs(moved - controls).max(initial=0.0))

    def _residual(self) -> float:
        return float(self.lagrangian.residual(torch.from_numpy(self.rows)[None])[0])

    def _move_multipliers(self) -> bool:
        """Let the multipliers follow the plan, and return whether that may help."""
        rows = torch.from_numpy(self.rows)[None]
        if not len(self.rows) or bool(self.lagrangian.exhausted(rows, torch.zeros(1, dtype=torch.int64))):
            return False
        self.lagrangian.update(rows)
        self.value, self.rows = self._evaluate(self.full)
        self.model, self.damping = None, 0.0
        return True

    def _note(self, stationarity: float) -> None:
        penalties = float(self.lagrangian.term(torch.from_numpy(self.rows)[None])[0]) if len(self.rows) else 0.0
        violation = float(np.abs(self._outside()).max(initial=0.0))
        entry = {"merit": self.value - penalties, "violation": violation, "stationarity": stationarity}
        self.log.append({"progress": self.parameters.progress, **entry, "damping": self.damping})

    def _outcome(self, status: Status) -> Outcome:
        variables = self.full[self.workshop.program.decided]
        merit = np.inf
        if np.isfinite(self.full).all() and self._residual() <= 10.0 * self.settings.feasibility:
            merit = self.derivatives.objective(self.full, self.parameters.at_end())
        total = time.perf_counter() - self.begin
        return Outcome(
            variables=np.nan_to_num(variables),
            status=status,
            iterations=len(self.log),
            merit=merit,
            multipliers=self._multipliers(),
            seconds={"derivatives": self.seconds, "solver": total - self.seconds},
            log=self.log,
            gains=None if self.feedback is None else self.plans.gains(self.feedback),
        )

    def _multipliers(self) -> Mapping[str, FloatArray]:
        if self.model is None or not self.model.finite:
            return {}
        bounds = np.where(self._held(self.model), -self.model.slope, 0.0)
        constraints = self.lagrangian.estimate(torch.from_numpy(self.rows)[None])[0].numpy()
        return {"constraints": constraints, "bounds": bounds.ravel()}
