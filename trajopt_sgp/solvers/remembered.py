"""Values and derivatives of a program that are computed once at each point."""

from collections.abc import Callable
from typing import TypeVar

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.point_memory import PointMemory
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.problem import Parameters

Result = TypeVar("Result")


class RememberedDerivatives:
    """What `ProgramDerivatives` offers, with the last result of each kind kept.

    Solvers ask for objective and rows one after the other, and for both again beside their derivatives.

    Args:
        inner: what computes them.
    """

    def __init__(self, inner: ProgramDerivatives) -> None:
        self.inner = inner
        self.jacobian_pattern, self.hessian_pattern = inner.jacobian_pattern, inner.hessian_pattern
        self._memory = PointMemory()

    @property
    def size(self) -> int:
        """Number of decision variables."""
        return self.inner.size

    @property
    def row_count(self) -> int:
        """Number of constraint rows."""
        return self.inner.row_count

    def objective(self, variables: FloatArray, parameters: Parameters) -> float:
        """Return the sum of the costs."""
        return self._once("objective", variables, parameters, lambda: self.inner.objective(variables, parameters))

    def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        """Return the objective and its gradient `(size,)`."""
        value, gradient = self._once(
            "gradient", variables, parameters, lambda: self.inner.gradient(variables, parameters)
        )
        self._memory.keep("objective", variables, parameters, value)
        return value, gradient.copy()

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled constraint rows `(row_count,)`."""
        return self._once("rows", variables, parameters, lambda: self.inner.rows(variables, parameters)).copy()

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the scaled rows and the nonzeros of their Jacobian."""
        rows, values = self._once("jacobian", variables, parameters, lambda: self.inner.jacobian(variables, parameters))
        self._memory.keep("rows", variables, parameters, rows)
        return rows.copy(), values.copy()

    def hessian(
        self,
        variables: FloatArray,
        cost_factor: float,
        multipliers: FloatArray,
        parameters: Parameters,
        exact: bool = True,
    ) -> FloatArray:
        """Return the nonzeros of the Hessian of the Lagrangian; these alone are computed every time."""
        return self.inner.hessian(variables, cost_factor, multipliers, parameters, exact)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the rows."""
        return self.inner.bounds()

    def row_unscale(self) -> FloatArray:
        """Return the factor that turns a scaled row back into its own units."""
        return self.inner.row_unscale()

    def row_name(self, row: int) -> tuple[str, int]:
        """Return the name and the knot of a row."""
        return self.inner.row_name(row)

    def _once(self, kind: str, x: FloatArray, parameters: Parameters, compute: Callable[[], Result]) -> Result:
        return self._memory.once(kind, x, parameters, compute)
