"""SciPy's solvers for constrained programs: trust-constr, SLSQP, and L-BFGS-B where there are only bounds."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import scipy  # loads its optimisers when they are first used, which takes a tenth of a second
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_choice, check_counts, check_positive
from trajopt_sgp.problem import Parameters, Status
from trajopt_sgp.solvers.annealing import schedule
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.least_squares import bounded_least_squares
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.remembered import RememberedDerivatives
from trajopt_sgp.solvers.run import FEASIBILITY, OPTIMAL, Measured, Run

# how near a bound counts as active where a method ends on it, and where a barrier keeps it off
_ACTIVE, _NEARLY_ACTIVE = 1e-6, 1e-5
_MOST_ENTRIES = 20_000_000
_MOST_DENSE = 2000
_PATIENCE, _CHEAP = 100, 500
"""Iterations of SLSQP until second derivatives are worth their price, for it converges in fewer, or slowly; and the
number of variables up to which it gets so many: an iteration costs their cube, one of trust-constr little more than
their number."""
_WARM_BARRIER = {"initial_barrier_parameter": 1e-5, "initial_barrier_tolerance": 1e-5}
"""Of trust-constr where SLSQP has ended; its own 0.1 would lead away from bounds that are active already."""
Choice = Literal["trust-constr", "SLSQP", "L-BFGS-B", "auto"]
Value = TypeVar("Value")


class _Stop(Exception):
    """Ends a solver of SciPy from inside an evaluation."""


@dataclass(frozen=True)
class Scipy(Solver):
    """`scipy.optimize.minimize` with exact derivatives, for comparison: slower than Ipopt on all but small programs.

    Variables that are held by their bounds are left out. SLSQP and L-BFGS-B return no multipliers of bounds; all are
    estimated by least squares from the active constraints.
    """

    method: Choice = "auto"
    """trust-constr: sparse, with second derivatives; SLSQP: dense; L-BFGS-B: bounds only. auto: up to 2000 variables a
    hundred iterations of SLSQP, or fewer where they are dear, trust-constr from where they end if that is not an
    optimum, and SLSQP once more if that is none either; for more variables trust-constr alone."""
    tolerance: float = 1e-8
    """Of the optimality conditions; each method's own measures are derived from it."""
    max_iterations: int = 2000
    """Per stage, of each method that is tried."""
    stages: int = 4
    """Places on the schedule of an annealed distance to data; 1 solves at its end only."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of a method that is named, for example `{"initial_tr_radius": 0.1}`."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        check_positive("Scipy", tolerance=self.tolerance)
        check_counts("Scipy", max_iterations=self.max_iterations, stages=self.stages)
        check_choice("Scipy", "method", self.method, ("auto", "trust-constr", "SLSQP", "L-BFGS-B"))
        if self.options and self.method == "auto":
            raise OptionError(f"Scipy: options = {dict(self.options)} belong to a method: name it by method=.")

    @property
    def name(self) -> str:
        """Name for tables and messages."""
        return "Scipy" if self.method == "auto" else f"Scipy {self.method}"

    def attempts(self, size: int) -> "tuple[Scipy, ...]":
        """Return what is tried on so many variables, one after the other, each with a method of its own."""
        if self.method != "auto":
            return (self,)
        curved = replace(self, method="trust-constr")
        if size > _MOST_DENSE:
            return (curved,)
        dense = replace(self, method="SLSQP")
        patience = round(_PATIENCE * min(1.0, (_CHEAP / max(size, 1)) ** 2))
        short = replace(dense, max_iterations=min(patience, self.max_iterations))
        return short, replace(curved, options=_WARM_BARRIER), dense

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that the method can handle the program.

        Raises:
            IncompatibleError: L-BFGS-B cannot handle rows; names one.
        """
        if self.method == "L-BFGS-B" and program.assembly.row_count:
            name, _ = program.assembly.row_name(0)
            raise IncompatibleError(
                f"L-BFGS-B handles bounds of the variables only, and {program.name} has constraints such as {name}. "
                "Use SingleShooting without state bounds and constraints, or the method 'trust-constr' or 'SLSQP'."
            )
        derivatives = RememberedDerivatives(program.assembly)

        def minimise(start: Start) -> list[Outcome]:
            places = schedule(program, self.stages, warm=bool(start.multipliers))
            with Limits(start.time_limit) as limits:
                return [
                    _solve(self, Run(program, derivatives, start.one(k), limits, self.tolerance), guess, places)
                    for k, guess in enumerate(start.variables)
                ]

        return minimise


def _solve(settings: Scipy, run: Run, guess: FloatArray, places: Sequence[float]) -> Outcome:
    guess = run.clip(guess)
    run.enter_stage(places[0])
    run.keep(guess)
    if run.impossible:
        return run.outcome(guess, {}, Status.INFEASIBLE, 0)
    point, multipliers, status = guess, dict[str, FloatArray](), Status.FAILED
    for place in places:
        run.enter_stage(place)
        try:
            for attempt in settings.attempts(len(point)):
                point, multipliers, status = _Reduced(run, point).minimise(attempt)
                # cut short, a flat objective may have further to fall than its gradient tells
                if status is not Status.ITERATION_LIMIT and run.residual(point, multipliers).holds(OPTIMAL):
                    break
        except _Stop:
            status = Status.FAILED
            break
    return run.outcome(point, multipliers, status, len(run.log))


class _Reduced:
    """A program in the variables that its bounds leave free, as SciPy asks for it."""

    def __init__(self, run: Run, guess: FloatArray) -> None:
        self.run, self.derivatives, self.guess = run, run.derivatives, guess
        self.lower, self.upper = run.bounds
        self.free = np.flatnonzero(self.lower < self.upper)
        self.below, self.above = run.derivatives.bounds()

    def minimise(self, settings: Scipy) -> tuple[FloatArray, dict[str, FloatArray], Status]:
        """Return variables, multipliers and what the solver claims.

        Raises:
            OptionError: the method does not know one of its options.
        """
        if not len(self.free):
            return self.guess, self.multipliers(self.guess, {}), Status.SOLVED
        method = settings.method
        box = scipy.optimize.Bounds(self.lower[self.free], self.upper[self.free])
        arguments: dict[str, Any] = {"method": method, "jac": self.gradient, "bounds": box}
        arguments["options"] = {**_own_options(settings), **settings.options}
        arguments["callback"] = self._callback if method == "trust-constr" else self._callback_alone
        if method == "trust-constr":
            arguments |= {"hess": self.hessian, "constraints": self._sparse_rows()}
        elif method == "SLSQP":
            arguments["constraints"] = self._dense_rows()
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of singular Jacobians, which the status tells
                warnings.simplefilter("error", scipy.optimize.OptimizeWarning)  # of unknown options
                result = scipy.optimize.minimize(self.objective, self.guess[self.free], **arguments)
        except (TypeError, scipy.optimize.OptimizeWarning) as error:
            raise OptionError(f"Scipy refused its options {dict(settings.options)}: {error}.") from error
        point = self.full(np.asarray(result.x, dtype=np.float64))
        return point, self.multipliers(point, result), _claimed(method, int(result.status))

    def full(self, z: FloatArray) -> FloatArray:
        """Return all variables from the free ones."""
        x = self.guess.copy()
        x[self.free] = z
        return self.run.clip(x)

    def objective(self, z: FloatArray) -> float:
        """Return the objective."""
        x, value = self._evaluate(z, self.derivatives.objective)
        self.run.note(x, value)
        return value

    def gradient(self, z: FloatArray) -> FloatArray:
        """Return the gradient by the free variables."""
        x, (_, gradient) = self._evaluate(z, self.derivatives.gradient)
        self._demand(x, gradient)
        return gradient[self.free]

    def rows(self, z: FloatArray) -> FloatArray:
        """Return the rows."""
        x, rows = self._evaluate(z, self.derivatives.rows)
        self.run.note(x, rows)
        return rows

    def jacobian(self, z: FloatArray) -> "scipy.sparse.csr_matrix":
        """Return the Jacobian of the rows by the free variables."""
        x, (_, values) = self._evaluate(z, self.derivatives.jacobian)
        self._demand(x, values)
        pattern, shape = self.derivatives.jacobian_pattern, (self.derivatives.row_count, self.derivatives.size)
        return scipy.sparse.csr_matrix((values, (pattern.rows, pattern.columns)), shape=shape)[:, self.free]

    def hessian(self, z: FloatArray) -> "scipy.sparse.csr_matrix":
        """Return the Hessian of the objective; that of the rows holds it where there are any."""
        if self.derivatives.row_count:
            return scipy.sparse.csr_matrix((len(self.free), len(self.free)))
        return self.lagrangian(z, np.zeros(0))

    def lagrangian(self, z: FloatArray, multipliers: FloatArray) -> "scipy.sparse.csr_matrix":
        """Return the Hessian of the Lagrangian."""
        hessian = self.derivatives.hessian
        x, values = self._evaluate(z, lambda x, parameters: hessian(x, 1.0, multipliers, parameters))
        self._demand(x, values)
        pattern, size = self.derivatives.hessian_pattern, self.derivatives.size
        upper = scipy.sparse.csr_matrix((values, (pattern.rows, pattern.columns)), shape=(size, size))
        symmetric = upper + scipy.sparse.triu(upper, 1).T
        return symmetric.tocsr()[self.free][:, self.free]

    def multipliers(self, x: FloatArray, result: Any) -> dict[str, FloatArray]:
        """Return the multipliers of the solver, or estimates of them where it has none or they have wrong signs."""
        gradient, jacobian = self.derivatives.gradient(x, self.run.parameters)[1], self._all_columns(x)
        if "v" not in result:
            return self._estimated(x, gradient, jacobian, _ACTIVE)
        own = self._own(x, result, gradient, jacobian)
        residual = self.run.residual(x, own)
        if residual.holds(OPTIMAL) or residual.feasibility > FEASIBILITY:
            return own
        estimated = self._estimated(x, gradient, jacobian, _NEARLY_ACTIVE)
        return min(own, estimated, key=lambda multipliers: self.run.residual(x, multipliers).largest)

    def _own(
        self, x: FloatArray, result: Any, gradient: FloatArray, jacobian: "scipy.sparse.csr_matrix"
    ) -> dict[str, FloatArray]:
        """Return what trust-constr gives, whose multipliers are those of least squares without regard to signs."""
        has_rows = bool(self.derivatives.row_count)
        by_row = np.asarray(result.v[0], dtype=np.float64) if has_rows else np.zeros(0)
        by_variable = -(gradient + jacobian.T @ by_row)
        if len(result.v) == has_rows:
            return {"constraints": by_row, "bounds": self._at_bounds(x, by_variable, _ACTIVE)}
        by_variable[self.free] = result.v[-1]
        return {"constraints": by_row, "bounds": by_variable}

    def _estimated(
        self, x: FloatArray, gradient: FloatArray, jacobian: "scipy.sparse.csr_matrix", near: float
    ) -> dict[str, FloatArray]:
        """Return multipliers of active rows and bounds, of the right signs, that leave the least gradient."""
        rows = self.derivatives.rows(x, self.run.parameters)
        by_row, by_variable = np.zeros(len(rows)), np.zeros(len(x))
        held = self.lower == self.upper
        sides = [_sides(rows, self.below, self.above, near), _sides(x, self.lower, self.upper, near)]
        active = [np.flatnonzero((low < 0.0) | (high > 0.0)) for low, high in sides]
        matrix = scipy.sparse.hstack(
            [jacobian.T.tocsc()[:, active[0]], scipy.sparse.eye(len(x), format="csc")[:, active[1]]]
        )
        signs = [np.concatenate([side[k][own] for side, own in zip(sides, active, strict=True)]) for k in (0, 1)]
        if 0 < matrix.shape[0] * matrix.shape[1] <= _MOST_ENTRIES:
            found = bounded_least_squares(matrix.toarray(), -gradient, *signs)
            by_row[active[0]], by_variable[active[1]] = np.split(found, [len(active[0])])
        by_variable[held] = -(gradient + jacobian.T @ by_row)[held]
        return {"constraints": by_row, "bounds": by_variable}

    def _at_bounds(self, x: FloatArray, by_variable: FloatArray, near: float) -> FloatArray:
        """Return the multipliers that have the sign of a bound that is active."""
        low, high = _sides(x, self.lower, self.upper, near)
        return np.clip(by_variable, low, high)

    def _all_columns(self, x: FloatArray) -> "scipy.sparse.csr_matrix":
        values = self.derivatives.jacobian(x, self.run.parameters)[1]
        pattern, shape = self.derivatives.jacobian_pattern, (self.derivatives.row_count, self.derivatives.size)
        return scipy.sparse.csr_matrix((values, (pattern.rows, pattern.columns)), shape=shape)

    def _sparse_rows(self) -> list[Any]:
        if not self.derivatives.row_count:
            return []
        return [
            scipy.optimize.NonlinearConstraint(
                self.rows, self.below, self.above, jac=self.jacobian, hess=self.lagrangian
            )
        ]

    def _dense_rows(self) -> list[dict[str, Any]]:
        equal = np.flatnonzero(self.below == self.above)
        sides = [("eq", equal, 1.0, self.below)]
        sides.append(("ineq", np.flatnonzero(np.isfinite(self.below) & (self.below < self.above)), 1.0, self.below))
        sides.append(("ineq", np.flatnonzero(np.isfinite(self.above) & (self.below < self.above)), -1.0, self.above))
        return [
            {
                "type": kind,
                "fun": lambda z, chosen=chosen, sign=sign, side=side: sign * (self.rows(z) - side)[chosen],
                "jac": lambda z, chosen=chosen, sign=sign: sign * self.jacobian(z)[chosen].toarray(),
            }
            for kind, chosen, sign, side in sides
            if len(chosen)
        ]

    def _evaluate(self, z: FloatArray, function: Callable[[FloatArray, Parameters], Value]) -> tuple[FloatArray, Value]:
        """Return all variables and a function of them; end the solve where the run must stop, or this raises."""
        if not self.run.must_stop():
            with Measured(self.run):
                x = self.full(z)
                return x, function(x, self.run.parameters)
        raise _Stop

    def _demand(self, x: FloatArray, values: FloatArray) -> None:
        """End the solve where a derivative is not finite: SciPy's linear algebra would raise."""
        self.run.note(x, values)
        if not np.isfinite(values).all():
            raise _Stop

    def _callback_alone(self, z: FloatArray) -> None:
        self._callback(z, None)

    def _callback(self, z: FloatArray, state: Any) -> bool:
        run = self.run
        with Measured(run):
            run.keep(self.full(z))
            run.log.append({"progress": run.parameters.progress, **run.seen[-1]})
        if run.must_stop():
            raise _Stop
        return False


def _sides(values: FloatArray, lower: FloatArray, upper: FloatArray, near: float) -> tuple[FloatArray, FloatArray]:
    """Return the range of each multiplier: of one sign where one side is active, of any where both are, else zero."""
    return np.where(values <= lower + near, -np.inf, 0.0), np.where(values >= upper - near, np.inf, 0.0)


def _own_options(settings: Scipy) -> dict[str, Any]:
    tight = 1e-3 * settings.tolerance
    if settings.method == "trust-constr":
        # it ends at a small gradient whatever the barrier, which only falls with further iterations
        tolerances = {"gtol": tight, "xtol": 1e-14, "barrier_tol": tight}
    elif settings.method == "SLSQP":
        tolerances = {"ftol": settings.tolerance**1.5}
    else:
        tolerances = {"gtol": settings.tolerance, "ftol": 1e-16}
    return {"maxiter": settings.max_iterations, **tolerances}


def _claimed(method: Choice, status: int) -> Status:
    if method == "trust-constr":
        return {0: Status.ITERATION_LIMIT, 1: Status.SOLVED, 2: Status.FAILED}.get(status, Status.FAILED)
    if method == "SLSQP":
        return {0: Status.SOLVED, 9: Status.ITERATION_LIMIT}.get(status, Status.FAILED)
    return {0: Status.SOLVED, 1: Status.ITERATION_LIMIT}.get(status, Status.FAILED)
