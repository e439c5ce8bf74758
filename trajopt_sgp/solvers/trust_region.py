"""Sequential quadratic programming in a trust region, with the l1 merit function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.problem import KktResidual, Status
from trajopt_sgp.solvers.casadi_callbacks import Measured
from trajopt_sgp.solvers.elastic_program import Bounds, ElasticProgram, Model, Step, violations
from trajopt_sgp.solvers.run import Run

FloatArray = NDArray[np.float64]

_FIRST_RADIUS, _SMALLEST_RADIUS, _LARGEST_RADIUS = 10.0, 1e-11, 1e4
_ENOUGH, _GOOD = 1e-4, 0.75
_LARGEST_PENALTY, _RAISE, _RAISES = 1e8, 10.0, 3
_SATISFIED, _LESS = 0.1, 0.9
_ROUNDING = 10.0 * np.finfo(np.float64).eps


@dataclass(eq=False)
class TrustRegion:
    """One search: at every iterate a quadratic model within a box, whose step is taken if it reduces the merit.

    The merit is f + penalty * |violations|_1. Where the step fails because rows are curved, a second-order correction
    is tried before the region shrinks. The penalty grows where the model leaves rows violated that it could satisfy.

    Sources: R. Fletcher, Practical Methods of Optimization (1987), section 14.4; J. Nocedal and S. J. Wright,
    Numerical Optimization, algorithm 18.4 and section 18.5 for the penalty.
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
    radius: float = _FIRST_RADIUS
    """Of the trust region, in scaled variables."""
    penalty: float = 10.0
    """Price of a violation of 1."""
    iterations: list[Mapping[str, Any]] = field(default_factory=list)
    """One entry for each."""

    def search(self) -> Status:
        """Move `x` and the multipliers until they are optimal; return why it ended."""
        for _ in range(self.max_iterations + 1):
            residual = self._residual()
            self._note(residual)
            if residual.holds(self.tolerance):
                return Status.SOLVED
            if self.run.must_stop() or self.run.not_finite is not None:
                return Status.FAILED
            if len(self.iterations) > self.max_iterations:
                return Status.ITERATION_LIMIT
            if not self._advance(self._model()):
                return Status.FAILED
        return Status.ITERATION_LIMIT

    def _advance(self, model: Model) -> bool:
        """Take a step, in smaller and smaller regions; return whether there was one."""
        while self.radius > _SMALLEST_RADIUS and not self.run.must_stop():
            step = self._step(model)
            if step is None:
                self.radius *= 0.25
                continue
            length = float(np.abs(step.direction).max(initial=0.0))
            predicted = self._predicted(model, step.direction)
            if length <= 1e-14:
                self.constraints, self.bounds = step.constraints, step.bounds
                return False
            for trial in self._trials(model, step):
                ratio = self._ratio(trial, predicted)
                if ratio > _ENOUGH:
                    before, self.x = self.x, trial
                    self.constraints, self.bounds = step.constraints, self._own_bounds(before, step)
                    if ratio > _GOOD and length > 0.9 * self.radius:
                        self.radius = min(3.0 * self.radius, _LARGEST_RADIUS)
                    return True
            self.radius = (0.5 if ratio > -1.0 else 0.25) * min(self.radius, length)
        return False

    def _step(self, model: Model) -> Step | None:
        """Return the step of a model; the penalty grows while that makes its rows less violated."""
        step = self.program.solve(model, self._box(), self.penalty)
        now = _total(model.rows, self._sides)
        for _ in range(_RAISES):
            if step is None:
                return None
            left = self._linear_violation(model, step)
            if left <= max(_SATISFIED * now, self.tolerance) or self.penalty >= _LARGEST_PENALTY:
                return step
            other = self.program.solve(model, self._box(), _RAISE * self.penalty)
            if other is None or self._linear_violation(model, other) > _LESS * left:
                return step
            self.penalty *= _RAISE
            step = other
        return step

    def _trials(self, model: Model, step: Step) -> Iterator[FloatArray]:
        """Yield the point of a step, then that of its second-order correction."""
        trial = self.run.clip(self.x + step.direction)
        yield trial
        with Measured(self.run):
            rows = self.run.derivatives.rows(trial, self.run.parameters)
        if self.run.error is None and np.isfinite(rows).all() and len(rows):
            curved = rows - self.program.linear_rows(model, step.direction)
            corrected = self.program.solve(replace(model, rows=model.rows + curved), self._box(), self.penalty)
            if corrected is not None:
                yield self.run.clip(self.x + corrected.direction)

    def _model(self) -> Model:
        run, derivatives = self.run, self.run.derivatives
        model = Model(*(np.full(0, np.nan) for _ in range(4)))
        with Measured(run):
            gradient = derivatives.gradient(self.x, run.parameters)[1]
            rows, jacobian = derivatives.jacobian(self.x, run.parameters)
            hessian = derivatives.hessian(self.x, 1.0, self.constraints, run.parameters, self.exact)
            run.note(self.x, gradient, rows, jacobian, hessian)
            model = Model(gradient, hessian, rows, jacobian)
        return model

    def _merit(self, x: FloatArray) -> float:
        run, value = self.run, np.inf
        with Measured(run):
            rows = run.derivatives.rows(x, run.parameters)
            value = run.derivatives.objective(x, run.parameters) + self.penalty * _total(rows, self._sides)
        return value if np.isfinite(value) else np.inf

    def _ratio(self, trial: FloatArray, predicted: float) -> float:
        """Return the reduction of the merit relative to what the model promised; rounding counts as a reduction."""
        before = self._merit(self.x)
        rounding = _ROUNDING * max(1.0, abs(before))
        return (before - self._merit(trial) + rounding) / (predicted + rounding)

    def _predicted(self, model: Model, direction: FloatArray) -> float:
        less = _total(model.rows, self._sides) - _total(self.program.linear_rows(model, direction), self._sides)
        return max(self.penalty * less - self.program.change(model, direction), 0.0)

    def _linear_violation(self, model: Model, step: Step) -> float:
        return _total(self.program.linear_rows(model, step.direction), self._sides)

    def _box(self) -> Bounds:
        lower, upper = self.run.bounds
        return np.maximum(lower - self.x, -self.radius), np.minimum(upper - self.x, self.radius)

    def _own_bounds(self, before: FloatArray, step: Step) -> FloatArray:
        """Return the multipliers of a step that belong to bounds of the variables, not to the region."""
        lower, upper = self.run.bounds
        upwards = np.where(upper - before <= self.radius, np.maximum(step.bounds, 0.0), 0.0)
        downwards = np.where(before - lower <= self.radius, np.minimum(step.bounds, 0.0), 0.0)
        return upwards + downwards

    @property
    def _sides(self) -> Bounds:
        return self.program.lower, self.program.upper

    def _residual(self) -> KktResidual:
        residual = KktResidual(np.inf, np.inf, np.inf, np.inf, 0.0)
        with Measured(self.run):
            residual = self.run.residual(self.x, {"constraints": self.constraints, "bounds": self.bounds})
            self.run.keep(self.x)
        return residual

    def _note(self, residual: KktResidual) -> None:
        objective = self.run.trace[-1][0] if self.run.trace else np.nan
        entry = {"obj": objective, "inf_pr": residual.feasibility, "inf_du": residual.stationarity}
        self.iterations.append({**entry, "radius": self.radius, "penalty": self.penalty})


def _total(values: FloatArray, bounds: Bounds) -> float:
    return float(np.abs(violations(values, bounds)).sum())
