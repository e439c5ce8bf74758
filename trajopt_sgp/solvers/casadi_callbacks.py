"""A nonlinear program as CasADi functions whose values and derivatives come from its assembly."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import casadi
import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.formulations.program import ProgramDerivatives

FloatArray = NDArray[np.float64]
Evaluate = Callable[..., Sequence[float | FloatArray]]


class NumericFunction(casadi.Callback):
    """A CasADi function evaluated by Python on dense NumPy vectors of nonzeros."""

    def __init__(
        self,
        name: str,
        inputs: dict[str, casadi.Sparsity],
        outputs: dict[str, casadi.Sparsity],
        evaluate: Evaluate,
    ) -> None:
        super().__init__()
        self._inputs, self._outputs, self._evaluate = inputs, outputs, evaluate
        self.construct(name, {})

    def get_n_in(self) -> int:
        """Return the number of inputs."""
        return len(self._inputs)

    def get_n_out(self) -> int:
        """Return the number of outputs."""
        return len(self._outputs)

    def get_name_in(self, i: int) -> str:
        """Return the name of input `i`."""
        return list(self._inputs)[i]

    def get_name_out(self, i: int) -> str:
        """Return the name of output `i`."""
        return list(self._outputs)[i]

    def get_sparsity_in(self, i: int) -> casadi.Sparsity:
        """Return the sparsity of input `i`."""
        return list(self._inputs.values())[i]

    def get_sparsity_out(self, i: int) -> casadi.Sparsity:
        """Return the sparsity of output `i`."""
        return list(self._outputs.values())[i]

    def eval(self, arguments: Sequence[casadi.DM]) -> list[casadi.DM]:
        """Return the outputs as CasADi matrices."""
        results = self._evaluate(*(np.array(argument.nonzeros()) for argument in arguments))
        return [casadi.DM(shape, value) for shape, value in zip(self._outputs.values(), results, strict=True)]


@dataclass
class ProgramFunctions:
    """The functions that CasADi's `nlpsol` asks for, sharing values at one point and counting their own time."""

    assembly: ProgramDerivatives
    """Values and derivatives."""
    parameters: Parameters
    """Set anew before every solve."""
    exact: bool = True
    """Whether the Hessian is exact, not that of Gauss and Newton."""
    seconds: float = 0.0
    """Wall time spent in evaluations."""
    deadline: float | None = None
    """When `stop` asks the solver to end, on the clock of `time.perf_counter`."""
    error: BaseException | None = None
    """What an evaluation raised; CasADi would take it for a failed step."""
    _held: list[NumericFunction] = field(default_factory=list)

    def problem(self) -> NumericFunction:
        """Return x, p to objective f and rows g."""
        return self._make("nlp", {"f": casadi.Sparsity.dense(1, 1), "g": self._rows}, self._values)

    def gradient(self) -> NumericFunction:
        """Return x, p to f and its gradient."""
        return self._make("grad_f", {"f": casadi.Sparsity.dense(1, 1), "grad_f_x": self._variables}, self._gradient)

    def jacobian(self) -> NumericFunction:
        """Return x, p to g and its Jacobian."""
        pattern = sparsity(self.assembly.row_count, self.assembly.size, self.assembly.jacobian_pattern)
        return self._make("jac_g", {"g": self._rows, "jac_g_x": pattern}, self._jacobian)

    def hessian(self) -> NumericFunction:
        """Return x, p and multipliers to the upper triangle of the Hessian of the Lagrangian."""
        pattern = sparsity(self.assembly.size, self.assembly.size, self.assembly.hessian_pattern)
        multipliers = {"lam_f": casadi.Sparsity.dense(1, 1), "lam_g": self._rows}
        return self._make("hess_lag", {"hess_gamma_x_x": pattern}, self._hessian, multipliers)

    def stop(self) -> NumericFunction:
        """Return the function CasADi calls after every iteration: 1 when the time is over or an evaluation raised."""
        sizes = {"f": 1, "x": self.assembly.size, "lam_x": self.assembly.size, "lam_p": 0}
        names = casadi.nlpsol_out()
        inputs = {name: casadi.Sparsity.dense(sizes.get(name, self.assembly.row_count), 1) for name in names}
        return self._hold(NumericFunction("stop", inputs, {"ret": casadi.Sparsity.dense(1, 1)}, self._stop))

    def _stop(self, *iterate: FloatArray) -> Sequence[float | FloatArray]:
        late = self.deadline is not None and time.perf_counter() > self.deadline
        return (float(late or self.error is not None),)

    @property
    def _variables(self) -> casadi.Sparsity:
        return casadi.Sparsity.dense(self.assembly.size, 1)

    @property
    def _rows(self) -> casadi.Sparsity:
        return casadi.Sparsity.dense(self.assembly.row_count, 1)

    def _make(
        self,
        name: str,
        outputs: dict[str, casadi.Sparsity],
        evaluate: Evaluate,
        more: dict[str, casadi.Sparsity] | None = None,
    ) -> NumericFunction:
        inputs = {"x": self._variables, "p": casadi.Sparsity.dense(0, 1), **(more or {})}
        return self._hold(NumericFunction(name, inputs, outputs, self._guarded(outputs, evaluate)))

    def _hold(self, function: NumericFunction) -> NumericFunction:
        self._held.append(function)  # CasADi keeps no reference to the Python object
        return function

    def _guarded(self, outputs: dict[str, casadi.Sparsity], evaluate: Evaluate) -> Evaluate:
        """Time an evaluation, and remember what it raised; the solver then gets NaN, and ends."""

        def call(*arguments: FloatArray) -> Sequence[float | FloatArray]:
            results: Sequence[float | FloatArray] = [np.full(pattern.nnz(), np.nan) for pattern in outputs.values()]
            if self.error is None:
                with _Measured(self):
                    results = evaluate(*arguments)
            return results

        return call

    def _values(self, x: FloatArray, p: FloatArray) -> Sequence[float | FloatArray]:
        return self.assembly.objective(x, self.parameters), self.assembly.rows(x, self.parameters)

    def _gradient(self, x: FloatArray, p: FloatArray) -> Sequence[float | FloatArray]:
        return self.assembly.gradient(x, self.parameters)

    def _jacobian(self, x: FloatArray, p: FloatArray) -> Sequence[float | FloatArray]:
        return self.assembly.jacobian(x, self.parameters)

    def _hessian(
        self, x: FloatArray, p: FloatArray, cost_factor: FloatArray, multipliers: FloatArray
    ) -> Sequence[float | FloatArray]:
        return (self.assembly.hessian(x, float(cost_factor[0]), multipliers, self.parameters, self.exact),)


@dataclass
class _Measured:
    """Add the time of a block to the functions' own, and keep what it raises from passing through CasADi."""

    functions: ProgramFunctions
    begin: float = 0.0

    def __enter__(self) -> None:
        self.begin = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.functions.seconds += time.perf_counter() - self.begin
        self.functions.error = error
        return True


def sparsity(rows: int, columns: int, pattern: Pattern) -> casadi.Sparsity:
    """Return a pattern, whose nonzeros run column by column, as a CasADi sparsity."""
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pattern.columns, minlength=columns))])
    return casadi.Sparsity(rows, columns, offsets.tolist(), pattern.rows.tolist())
