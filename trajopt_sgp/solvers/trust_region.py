"""Sequential quadratic programming in a trust region, with the l1 merit function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import KktResidual, Status
from trajopt_sgp.solvers.elastic_program import Bounds, ElasticProgram, Model, Step
from trajopt_sgp.solvers.run import Measured, Run

_FIRST_RADIUS, _SMALLEST_RADIUS, _LARGEST_RADIUS = 10.0, 1e-11, 1e4
# of the promised reduction: for a step to be taken, for the region to grow
_ENOUGH, _GOOD = 1e-4, 0.5
_FIRST_PENALTY, _LARGEST_PENALTY = 10.0, 1e8
_RAISE, _MOST_RAISES = 10.0, 3
# shares of the violation: what a model may leave, what a higher penalty must leave to be worth it
_SATISFIED, _WORTH = 0.1, 0.9
# share of the radius that violations may have where rows can likely be satisfied
_SMALL = 0.1
# the penalty over the largest multiplier, and how often it may fall there
_MARGIN, _MOST_FALLS = 2.0, 20
# a promised reduction of the merit, relative to it, that rounding and inexact steps may hide
_NEGLIGIBLE = 1e-10
_UNKNOWN = KktResidual(np.inf, np.inf, np.inf, np.inf, 0.0)
_ROUNDING = 10.0 * np.finfo(np.float64).eps


@dataclass(eq=False)
class TrustRegion:
    """One search: at every iterate a quadratic model within a box, whose step is taken if it reduces the merit.

    The merit is f + penalty * |violations|_1. Where a step fails because rows are curved, a second-order correction is
    tried before the region shrinks. The penalty rises where the model leaves rows violated that it could satisfy, and
    falls back towards the multipliers, as a large one makes steps short.

    Sources: R. Fletcher, Practical Methods of Optimization (1987), section 14.4; J. Nocedal and S. J. Wright,
    Numerical Optimization, algorithm 18.4, and section 18.5 for the penalty.
    """

    run: Run
    """Limits and best iterate."""
    program: ElasticProgram
    """What gives steps."""
    exact: bool
    """Whether the Hessian is exact, not that of Gauss and Newton."""
    tolerance: float
    """Of the conditions of optimality."""
    max_iterations: int
    """At most."""
    x: FloatArray
    """Variables `(size,)`."""
    constraints: FloatArray
    """Multipliers of the rows."""
    bounds: FloatArray
    """Multipliers of the bounds of the variables."""
    log: list[Mapping[str, float]] = field(default_factory=list)
    """One entry for each iterate."""
    radius: float = _FIRST_RADIUS
    """Half width of the trust region, in scaled variables."""
    penalty: float = _FIRST_PENALTY
    """Price of a violation of 1."""
    falls: int = 0
    """How often the penalty has fallen."""

    def search(self) -> Status:
        """Move variables and multipliers until they are optimal; return why the search ended."""
        with np.errstate(all="ignore"):  # trials may lead where models overflow; their merit is infinite
            return self._search()

    def _search(self) -> Status:
        moved = True
        while True:
            residual = self._residual()
            self._note(residual)
            if residual.holds(self.tolerance):
                return Status.SOLVED
            if not moved or self.run.must_stop():
                return Status.FAILED
            if len(self.log) > self.max_iterations:
                return Status.ITERATION_LIMIT
            moved = self._advance()

    def _advance(self) -> bool:
        """Take a step in a region that is small enough; return whether variables have moved."""
        model = self._model()
        while model is not None and self.radius > _SMALLEST_RADIUS and not self.run.must_stop():
            step = self._step(model)
            if step is None:
                self.radius *= 0.25
                continue
            promised = self._promise(model, step)
            if promised <= _NEGLIGIBLE * max(1.0, abs(self._merit(self.x))):
                return self._polish(step)
            length = float(np.abs(step.direction).max(initial=0.0))
            ratio = self._try(model, step, promised)
            if ratio > _ENOUGH:
                if ratio > _GOOD and length > 0.9 * self.radius:
                    self.radius = min(2.0 * self.radius, _LARGEST_RADIUS)
                return True
            self.radius = (0.5 if ratio > -1.0 else 0.25) * min(self.radius, length)
        return False

    def _step(self, model: Model) -> Step | None:
        """Return the step of a model; the penalty rises as long as that leaves its rows less violated."""
        now = self.program.total(model.rows)
        step = self._rigid_step(model, now)
        if step is not None:
            return step
        step = self.program.solve(model, self._box(), self.penalty)
        for _ in range(_MOST_RAISES):
            if step is None:
                return None
            left = self._left(model, step)
            if left <= max(_SATISFIED * now, self.tolerance) or self.penalty >= _LARGEST_PENALTY:
                return step
            other = self.program.solve(model, self._box(), _RAISE * self.penalty)
            if other is None or self._left(model, other) > _WORTH * left:
                return step
            self.penalty, step = _RAISE * self.penalty, other
        return step

    def _rigid_step(self, model: Model, now: float) -> Step | None:
        """Return the step that violates no row, where there is likely one; the penalty rises above its multipliers."""
        if not self.program.row_count or now > _SMALL * self.radius:
            return None
        step = self.program.solve_rigid(model, self._box())
        if step is None or self._left(model, step) > max(_SATISFIED * now, self.tolerance):
            return None
        largest = float(np.abs(step.constraints).max())
        if largest > _LARGEST_PENALTY:
            return None
        self.penalty = max(self.penalty, _MARGIN * largest)
        return step

    def _polish(self, step: Step) -> bool:
        """Where the merit is too coarse to tell, judge by the conditions of optimality; return whether they improve."""
        x, constraints, bounds, penalty = self.x, self.constraints, self.bounds, self.penalty
        least = _relative(self._residual())
        best, better = (x, constraints, bounds), False
        for point in (self.run.clip(x + step.direction), x):
            self.x = x
            self._take(point, step)
            found = _relative(self._residual())
            if found < _WORTH * least:
                least, better = found, True
                best = self.x, self.constraints, self.bounds
        (self.x, self.constraints, self.bounds), self.penalty = best, penalty
        return better

    def _try(self, model: Model, step: Step, promised: float) -> float:
        """Take a step, or else its correction, if that is good enough; return the ratio of the last one tried."""
        before = self._merit(self.x)
        rounding = _ROUNDING * max(1.0, abs(before))
        ratio = -np.inf
        for trial in self._trials(model, step):
            ratio = (before - self._merit(trial) + rounding) / (promised + rounding)
            if ratio > _ENOUGH:
                self._take(trial, step)
                break
        return ratio

    def _trials(self, model: Model, step: Step) -> Iterator[FloatArray]:
        """Yield the point of a step, then that of its second-order correction."""
        trial = self.run.clip(self.x + step.direction)
        yield trial
        rows = np.full(self.program.row_count, np.nan)
        with Measured(self.run):
            rows = self.run.derivatives.rows(trial, self.run.parameters)
        if len(rows) and np.isfinite(rows).all():
            curved = model.rows + rows - self.program.rows(model, step.direction)
            corrected = self._step(replace(model, rows=curved))
            if corrected is not None:
                yield self.run.clip(self.x + corrected.direction)

    def _take(self, point: FloatArray, step: Step) -> None:
        """Go to a point with the multipliers of a step; those of the trust region belong to no bound."""
        lower, upper = self.run.bounds
        above = np.where(upper - self.x <= self.radius, np.maximum(step.bounds, 0.0), 0.0)
        below = np.where(self.x - lower <= self.radius, np.minimum(step.bounds, 0.0), 0.0)
        self.x, self.constraints, self.bounds = point, step.constraints, above + below
        enough = max(_FIRST_PENALTY, _MARGIN * float(np.abs(self.constraints).max(initial=0.0)))
        if enough < 0.5 * self.penalty and self.falls < _MOST_FALLS:
            self.penalty, self.falls = enough, self.falls + 1

    def _model(self) -> Model | None:
        run, parts = self.run, []
        with Measured(run):
            gradient = run.derivatives.gradient(self.x, run.parameters)[1]
            rows, jacobian = run.derivatives.jacobian(self.x, run.parameters)
            hessian = run.derivatives.hessian(self.x, 1.0, self.constraints, run.parameters, self.exact)
            parts = [gradient, hessian, rows, jacobian]
            run.note(self.x, *parts)
        if not parts or run.not_finite is not None:
            return None
        return self.program.model(*parts)

    def _merit(self, x: FloatArray) -> float:
        run, value = self.run, np.inf
        with Measured(run):
            rows = run.derivatives.rows(x, run.parameters)
            value = run.derivatives.objective(x, run.parameters) + self.penalty * self.program.total(rows)
        return value if np.isfinite(value) else np.inf

    def _promise(self, model: Model, step: Step) -> float:
        """Return by how much the merit of the model falls."""
        less = self.program.total(model.rows) - self._left(model, step)
        return self.penalty * less - self.program.change(model, step.direction)

    def _left(self, model: Model, step: Step) -> float:
        """Return the sum of the violations that a step leaves in a model."""
        return self.program.total(self.program.rows(model, step.direction))

    def _box(self) -> Bounds:
        lower, upper = self.run.bounds
        return np.maximum(lower - self.x, -self.radius), np.minimum(upper - self.x, self.radius)

    def _residual(self) -> KktResidual:
        with Measured(self.run):
            self.run.keep(self.x)
            return self.run.residual(self.x, {"constraints": self.constraints, "bounds": self.bounds})
        return _UNKNOWN

    def _note(self, residual: KktResidual) -> None:
        objective = self.run.seen[-1]["merit"] if self.run.seen else np.nan
        entry = {"merit": objective, "violation": residual.feasibility, "stationarity": residual.stationarity}
        self.log.append({**entry, "radius": self.radius, "penalty": self.penalty})


def _relative(residual: KktResidual) -> float:
    others = max(residual.stationarity, residual.complementarity, residual.sign)
    return max(residual.feasibility, others / max(1.0, residual.multiplier_norm))
