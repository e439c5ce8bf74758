"""The recursion of Riccati along a plan: the best deviations of the controls as feedback on those of the states."""

from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.solvers.stage_model import StageModel


@dataclass(frozen=True, eq=False)
class Feedback:
    """Deviations of the controls k_t + K_t (x_t - x̄_t), in scaled variables."""

    step: FloatArray
    """k_t, `(N, m)`."""
    gains: FloatArray
    """K_t, `(N, m, n)`."""
    decrease: float
    """Derivative of the objective along the step; not positive."""


def sweep(model: StageModel, held: BoolArray, damping: float) -> Feedback | None:
    """Return what minimises a model over the controls that are not held, or None where it has no minimum.

    Args:
        model: of the Lagrangian.
        held: controls that stay where they are, `(N, m)`.
        damping: added to the curvature in every direction of the controls.

    Source: D. H. Jacobson and D. Q. Mayne, Differential Dynamic Programming (1970); with the adjoint in place of the
    derivative of the value, J. C. Dunn and D. P. Bertsekas, Efficient dynamic programming implementations of Newton's
    method for unconstrained optimal control problems, J. Optimization Theory and Applications 63 (1989).
    """
    horizon, n, m = model.by_control.shape
    step, gains, decrease = np.zeros((horizon, m)), np.zeros((horizon, m, n)), 0.0
    value, linear = model.curvature[-1, :n, :n], np.zeros(n)
    damped = model.curvature[:-1, n:, n:] + damping * np.eye(m)
    held_any = bool(held.any())
    for t in range(horizon - 1, -1, -1):
        a, b, mixed = model.by_state[t], model.by_control[t], model.curvature[t, n:, :n]
        ahead = value @ b
        by_control = damped[t] + b.T @ ahead
        by_both = mixed + ahead.T @ a
        slope = model.slope[t] + b.T @ linear
        free = ~held[t] if held_any else None
        solved = _solve(by_control, slope, by_both, free)
        if solved is None:
            return None
        step[t], gains[t] = solved[:, 0], solved[:, 1:]
        decrease += float(step[t] @ slope)
        value = model.curvature[t, :n, :n] + a.T @ value @ a + by_both.T @ gains[t]
        value = 0.5 * (value + value.T)
        linear = a.T @ linear + by_both.T @ step[t]
    return Feedback(step, gains, decrease)


def _solve(by_control: FloatArray, slope: FloatArray, by_both: FloatArray, free: BoolArray | None) -> FloatArray | None:
    """Return step and gains `(m, 1+n)` of a stage, zero for what is held; None where its curvature is not positive."""
    sides = -np.column_stack([slope, by_both])
    if free is None or free.all():
        return _positive_solve(by_control, sides)
    solved = np.zeros_like(sides)
    if free.any():
        inner = _positive_solve(by_control[np.ix_(free, free)], sides[free])
        if inner is None:
            return None
        solved[free] = inner
    return solved


def _positive_solve(matrix: FloatArray, sides: FloatArray) -> FloatArray | None:
    if len(matrix) == 1:
        curvature = matrix[0, 0]
        return sides / curvature if curvature > 0.0 else None
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    solved: FloatArray = np.linalg.solve(factor.T, np.linalg.solve(factor, sides))
    return solved
