"""Derivatives of a program in which everything depends on everything, by reverse-mode differentiation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.generic import differentiate
from trajopt_sgp.derivatives.stage_term import Parameters

Evaluate = Callable[[Tensor, Parameters], tuple[Tensor, Tensor]]
"""Scaled variables `(1, size)` to objective `(1,)` and scaled rows `(1, R)`, differentiable twice."""


@dataclass(frozen=True, eq=False)
class DenseDerivatives:
    """What `Assembly` offers, without any sparsity: for programs of few variables, such as the parameters of a policy.

    Gauss-Newton Hessians are exact ones here.
    """

    evaluate: Evaluate
    """Objective and rows."""
    size: int
    """Number of decision variables."""
    lower: FloatArray
    """Bounds of the scaled rows, `(R,)`."""
    upper: FloatArray
    """`(R,)`."""
    unscale: FloatArray
    """Factors that turn rows into their own units, `(R,)`."""
    names: Sequence[tuple[str, int]] = field(repr=False)
    """Name and knot of each row."""

    @cached_property
    def jacobian_pattern(self) -> Pattern:
        """All entries of the Jacobian, column by column."""
        rows, columns = np.indices((self.row_count, self.size)).reshape(2, -1)
        return Pattern.of(rows, columns)

    @cached_property
    def hessian_pattern(self) -> Pattern:
        """All entries of the upper triangle of the Hessian, column by column."""
        return Pattern.of(*np.triu_indices(self.size))

    @property
    def row_count(self) -> int:
        """Number of constraint rows."""
        return len(self.lower)

    def objective(self, variables: FloatArray, parameters: Parameters) -> float:
        """Return f at `(size,)`."""
        with torch.no_grad():
            return float(self.evaluate(_point(variables), parameters)[0])

    def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        """Return f and its gradient `(size,)`."""
        point = _point(variables).requires_grad_(True)
        value = self.evaluate(point, parameters)[0]
        return float(value.detach()), _array(differentiate(value[:, None], point)[0, 0])

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled rows `(row_count,)`."""
        with torch.no_grad():
            return _array(self.evaluate(_point(variables), parameters)[1][0])

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the scaled rows and all entries of their Jacobian, column by column."""
        point = _point(variables).requires_grad_(True)
        rows = self.evaluate(point, parameters)[1]
        if not self.row_count:
            return np.zeros(0), np.zeros(0)
        return _array(rows[0]), _array(differentiate(rows, point)[0]).ravel(order="F")

    def hessian(
        self,
        variables: FloatArray,
        cost_factor: float,
        multipliers: FloatArray,
        parameters: Parameters,
        exact: bool = True,
    ) -> FloatArray:
        """Return the upper triangle of the Hessian of cost_factor * f + multipliers . g, column by column."""
        point = _point(variables).requires_grad_(True)
        value, rows = self.evaluate(point, parameters)
        lagrangian = cost_factor * value.sum() + (rows * torch.from_numpy(multipliers)).sum()
        (gradient,) = torch.autograd.grad(lagrangian, point, create_graph=True, materialize_grads=True)
        matrix = _array(differentiate(gradient, point)[0])
        return matrix[self.hessian_pattern.rows, self.hessian_pattern.columns]

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the scaled rows, `(row_count,)` each."""
        return self.lower, self.upper

    def row_unscale(self) -> FloatArray:
        """Return the factors `(row_count,)` that turn scaled rows into their own units."""
        return self.unscale

    def row_name(self, row: int) -> tuple[str, int]:
        """Return the name and the knot of a row."""
        return self.names[row]


def _point(variables: FloatArray) -> Tensor:
    return torch.tensor(variables, dtype=torch.float64)[None]


def _array(values: Tensor) -> FloatArray:
    return values.detach().numpy()
