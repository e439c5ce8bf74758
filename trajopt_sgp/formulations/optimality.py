"""First-order conditions of optimality of a nonlinear program, from its derivatives and given multipliers."""

from collections.abc import Mapping

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.formulations.excess import excess
from trajopt_sgp.problem import KktResidual


def kkt_residual(
    assembly: ProgramDerivatives,
    bounds: tuple[FloatArray, FloatArray],
    variables: FloatArray,
    multipliers: Mapping[str, FloatArray],
    parameters: Parameters,
) -> KktResidual:
    """Return the residual of stationarity, feasibility, complementarity and signs.

    With L = f + lambda' g + nu' w the conditions are grad L = 0; lambda >= 0 where an upper bound is active, <= 0 where
    a lower one is, 0 where none is; the same for nu and the bounds of the variables.

    Args:
        assembly: derivatives of the program.
        bounds: lower and upper bounds of the scaled variables, `(size,)` each.
        variables: scaled, `(size,)`.
        multipliers: `constraints` `(row_count,)` and `bounds` `(size,)`; zero where missing.
        parameters: of the solve.
    """
    by_row = multipliers.get("constraints", np.zeros(assembly.row_count))
    by_variable = multipliers.get("bounds", np.zeros(assembly.size))
    stationarity = assembly.gradient(variables, parameters)[1] + by_variable
    rows, values = assembly.jacobian(variables, parameters)
    pattern = assembly.jacobian_pattern
    np.add.at(stationarity, pattern.columns, values * by_row[pattern.rows])
    parts = [_one_side(rows, by_row, assembly.bounds()), _one_side(variables, by_variable, bounds)]
    feasibility, complementarity, sign = (max(column) for column in zip(*parts, strict=True))
    size = max(np.abs(by_row).max(initial=0.0), np.abs(by_variable).max(initial=0.0))
    return KktResidual(float(np.abs(stationarity).max(initial=0.0)), feasibility, complementarity, sign, float(size))


def _one_side(
    values: FloatArray, multipliers: FloatArray, bounds: tuple[FloatArray, FloatArray]
) -> tuple[float, float, float]:
    """Return violation, complementarity and wrong signs of bounded values and their multipliers."""
    lower, upper = bounds
    violation = np.abs(excess(values, lower, upper))
    above = np.where(np.isfinite(upper), np.abs(np.where(np.isfinite(upper), upper, 0.0) - values), 0.0)
    below = np.where(np.isfinite(lower), np.abs(np.where(np.isfinite(lower), lower, 0.0) - values), 0.0)
    equal = lower == upper
    products = np.where(equal, 0.0, np.maximum(multipliers, 0.0) * above + np.maximum(-multipliers, 0.0) * below)
    wrong = np.where(np.isfinite(upper), 0.0, np.maximum(multipliers, 0.0))
    wrong = np.maximum(wrong, np.where(np.isfinite(lower), 0.0, np.maximum(-multipliers, 0.0)))
    return float(violation.max(initial=0.0)), float(products.max(initial=0.0)), float(wrong.max(initial=0.0))
