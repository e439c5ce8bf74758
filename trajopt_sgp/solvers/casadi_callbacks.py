"""A nonlinear program as CasADi functions whose values and derivatives come from its assembly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import casadi
import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.named_callback import NamedCallback, Patterns
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.solvers.run import Measured, Run

Results = Sequence[float | FloatArray]
Evaluate = Callable[..., Results]

_SCALAR = casadi.Sparsity.dense(1, 1)


class NumericFunction(NamedCallback):
    """A CasADi function evaluated by Python on dense NumPy vectors of nonzeros."""

    def __init__(self, name: str, inputs: Patterns, outputs: Patterns, evaluate: Evaluate) -> None:
        super().__init__(inputs, outputs)
        self._evaluate = evaluate
        self.construct(name, {})

    def evaluate(self, arguments: Sequence[FloatArray]) -> Results:
        """Return the outputs."""
        return self._evaluate(*arguments)


@dataclass
class ProgramFunctions:
    """The functions that CasADi's `nlpsol` asks for; they serve the run that is set before each solve.

    Once the run must stop, or an evaluation has raised, they compute nothing more and return NaN.
    """

    derivatives: ProgramDerivatives
    """Values and derivatives, perhaps in another order than the program's own."""
    exact: bool = True
    """Whether the Hessian is exact, not that of Gauss and Newton."""
    symmetric: bool = False
    """Whether the solver wants both triangles of the Hessian."""
    idle: Callable[[str], FloatArray] | None = None
    """For a solver that has no callback and does not end on NaN: what it gets, by output, once it must stop, so that it
    converges at once; points at which it wants a gradient are then taken for its iterates."""
    run: Run | None = None
    """The solve that is going on."""
    original: Callable[[FloatArray], FloatArray] = np.copy
    """Variables in the order of the derivatives to those of the program."""
    _held: list[NumericFunction] = field(default_factory=list)

    def problem(self, name: str = "nlp") -> NumericFunction:
        """Return x, p to objective f and rows g."""
        return self._make(name, {"f": _SCALAR, "g": self._rows}, lambda x, p: (self._objective(x), self._row_values(x)))

    def objective(self) -> NumericFunction:
        """Return x, p to f."""
        return self._make("nlp_f", {"f": _SCALAR}, lambda x, p: (self._objective(x),))

    def rows(self) -> NumericFunction:
        """Return x, p to g."""
        return self._make("nlp_g", {"g": self._rows}, lambda x, p: (self._row_values(x),))

    def gradient(self) -> NumericFunction:
        """Return x, p to f and its gradient."""
        return self._make("nlp_grad_f", {"f": _SCALAR, "grad_f_x": self._variables}, lambda x, p: self._gradient(x))

    def gradient_alone(self) -> NumericFunction:
        """Return x, p to the gradient of f."""
        return self._make("nlp_grad_f", {"grad_f_x": self._variables}, lambda x, p: self._gradient(x)[1:])

    def jacobian(self) -> NumericFunction:
        """Return x, p to g and its Jacobian."""
        return self._make("nlp_jac_g", {"g": self._rows, "jac_g_x": self._pattern}, lambda x, p: self._jacobian(x))

    def hessian(self) -> NumericFunction:
        """Return x, p and multipliers to the Hessian of the Lagrangian."""
        return self._make("nlp_hess_l", {"hess_gamma_x_x": self._curvature}, self._hessian, self._multipliers)

    def lagrangian(self) -> NumericFunction:
        """Return x, p and multipliers to f, g and the gradients of the Lagrangian."""
        outputs = {"f": _SCALAR, "g": self._rows, "grad_gamma_x": self._variables}
        outputs["grad_gamma_p"] = casadi.Sparsity.dense(0, 1)
        return self._make("nlp_grad", outputs, self._lagrangian, self._multipliers)

    def lagrangian_hessian(self) -> NumericFunction:
        """Return x, p and multipliers to gradient and Hessian of the Lagrangian."""

        def both(x: FloatArray, p: FloatArray, factor: FloatArray, multipliers: FloatArray) -> Results:
            return self._lagrangian(x, p, factor, multipliers)[2], *self._hessian(x, p, factor, multipliers)

        outputs = {"grad_gamma_x": self._variables, "hess_gamma_x_x": self._curvature}
        return self._make("nlp_hess_l", outputs, both, self._multipliers)

    def stop(self) -> NumericFunction:
        """Return the function CasADi calls after every iteration: 1 when the solver must stop."""
        sizes = {"f": 1, "x": self.derivatives.size, "lam_x": self.derivatives.size, "lam_p": 0}
        names = casadi.nlpsol_out()
        inputs = {name: casadi.Sparsity.dense(sizes.get(name, self.derivatives.row_count), 1) for name in names}
        x = names.index("x")
        return self._hold(NumericFunction("stop", inputs, {"ret": _SCALAR}, lambda *values: self._stop(values[x])))

    def _stop(self, variables: FloatArray) -> Results:
        run = self.active
        if not run.must_stop():
            with Measured(run):
                run.keep(self.original(variables))
        return (float(run.must_stop()),)

    @property
    def must_stop(self) -> bool:
        """Whether a solve is going on that must stop."""
        return self.run is not None and self.run.must_stop()

    @property
    def active(self) -> Run:
        """The solve that is going on."""
        if self.run is None:
            raise RuntimeError("no solve is going on")
        return self.run

    @property
    def _variables(self) -> casadi.Sparsity:
        return casadi.Sparsity.dense(self.derivatives.size, 1)

    @property
    def _rows(self) -> casadi.Sparsity:
        return casadi.Sparsity.dense(self.derivatives.row_count, 1)

    @property
    def _pattern(self) -> casadi.Sparsity:
        return sparsity(self.derivatives.row_count, self.derivatives.size, self.derivatives.jacobian_pattern)

    @property
    def _curvature(self) -> casadi.Sparsity:
        pattern = self.derivatives.hessian_pattern
        upper = sparsity(self.derivatives.size, self.derivatives.size, pattern)
        return upper + upper.T if self.symmetric else upper

    @property
    def _multipliers(self) -> Patterns:
        return {"lam_f": _SCALAR, "lam_g": self._rows}

    def _make(self, name: str, outputs: Patterns, evaluate: Evaluate, more: Patterns | None = None) -> NumericFunction:
        inputs = {"x": self._variables, "p": casadi.Sparsity.dense(0, 1), **(more or {})}
        return self._hold(NumericFunction(name, inputs, outputs, self._guarded(outputs, evaluate)))

    def _hold(self, function: NumericFunction) -> NumericFunction:
        self._held.append(function)  # CasADi keeps no reference to the Python object
        return function

    def _guarded(self, outputs: Patterns, evaluate: Evaluate) -> Evaluate:
        """Time an evaluation, and remember what it raised; the solver then gets NaN or what is idle, and ends."""

        missing = [np.full(pattern.nnz(), np.nan) for pattern in outputs.values()]

        def call(*arguments: FloatArray) -> Results:
            results: Results = missing
            if not self._ended:
                with Measured(self.active):
                    results = evaluate(*arguments)
                    self.active.note(self.original(arguments[0]), *results)
            if self._ended and self.idle is not None:
                return [self.idle(name) for name in outputs]
            return results

        return call

    @property
    def _ended(self) -> bool:
        """Whether nothing more shall be computed."""
        run = self.active
        return run.must_stop() or (self.idle is not None and run.not_finite is not None)

    def _objective(self, x: FloatArray) -> float:
        return self.derivatives.objective(x, self.active.parameters)

    def _row_values(self, x: FloatArray) -> FloatArray:
        return self.derivatives.rows(x, self.active.parameters)

    def _gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        if self.idle is not None:
            self.active.keep(self.original(x))
        return self.derivatives.gradient(x, self.active.parameters)

    def _jacobian(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.derivatives.jacobian(x, self.active.parameters)

    def _hessian(self, x: FloatArray, p: FloatArray, factor: FloatArray, multipliers: FloatArray) -> Results:
        values = self.derivatives.hessian(x, float(factor[0]), multipliers, self.active.parameters, self.exact)
        return (values[self._mirror] if self.symmetric else values,)

    @cached_property
    def _mirror(self) -> IntArray:
        return mirror(self.derivatives.hessian_pattern)

    def _lagrangian(
        self, x: FloatArray, p: FloatArray, factor: FloatArray, multipliers: FloatArray
    ) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        value, gradient = self.derivatives.gradient(x, self.active.parameters)
        rows, values = self._jacobian(x)
        pattern = self.derivatives.jacobian_pattern
        pull = np.bincount(pattern.columns, values * multipliers[pattern.rows], self.derivatives.size)
        return value, rows, float(factor[0]) * gradient + pull, np.zeros(0)


def sparsity(rows: int, columns: int, pattern: Pattern) -> casadi.Sparsity:
    """Return a pattern, whose nonzeros run column by column, as a CasADi sparsity."""
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pattern.columns, minlength=columns))])
    return casadi.Sparsity(rows, columns, offsets.tolist(), pattern.rows.tolist())


def mirror(pattern: Pattern) -> IntArray:
    """Return the place in the upper triangle of every nonzero of the symmetric matrix."""
    off = np.flatnonzero(pattern.rows != pattern.columns)
    rows = np.concatenate([pattern.rows, pattern.columns[off]])
    columns = np.concatenate([pattern.columns, pattern.rows[off]])
    places: IntArray = np.concatenate([np.arange(len(pattern.rows)), off])[np.lexsort((rows, columns))]
    return places
