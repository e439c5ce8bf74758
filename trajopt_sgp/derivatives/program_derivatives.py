"""What solvers ask of a nonlinear program: values and sparse derivatives at scaled decision variables, in float64."""

from typing import Protocol, runtime_checkable

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.stage_term import Parameters


@runtime_checkable
class ProgramDerivatives(Protocol):
    """Objective f, rows g and their derivatives; what `Assembly` and `CondensedAssembly` offer."""

    @property
    def jacobian_pattern(self) -> Pattern:
        """Nonzeros of the Jacobian of the rows."""
        ...

    @property
    def hessian_pattern(self) -> Pattern:
        """Nonzeros of the upper triangle of the Hessian of the Lagrangian."""
        ...

    @property
    def size(self) -> int:
        """Number of decision variables."""
        ...

    @property
    def row_count(self) -> int:
        """Number of constraint rows."""
        ...

    def objective(self, variables: FloatArray, parameters: Parameters) -> float:
        """Return f at `(size,)`."""
        ...

    def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        """Return f and its gradient `(size,)`."""
        ...

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled rows `(row_count,)`."""
        ...

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the scaled rows and the nonzeros of their Jacobian, in the order of `jacobian_pattern`."""
        ...

    def hessian(
        self,
        variables: FloatArray,
        cost_factor: float,
        multipliers: FloatArray,
        parameters: Parameters,
        exact: bool = True,
    ) -> FloatArray:
        """Return the nonzeros of the Hessian of cost_factor * f + multipliers . g, or that of Gauss and Newton."""
        ...

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the scaled rows, `(row_count,)` each."""
        ...

    def row_unscale(self) -> FloatArray:
        """Return the factors `(row_count,)` that turn scaled rows into their own units."""
        ...

    def row_name(self, row: int) -> tuple[str, int]:
        """Return the name and the knot of a row."""
        ...
