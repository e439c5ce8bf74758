"""Least squares with bounds on some of the unknowns."""

import numpy as np
import scipy

from trajopt_sgp.arrays import FloatArray


def bounded_least_squares(matrix: FloatArray, target: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return the y of least ‖matrix·y − target‖ within bounds, exact to rounding also where it is degenerate.

    Unknowns without bounds are eliminated first, so that the search over active bounds is only as large as it must be.

    Args:
        matrix: `(rows, columns)`.
        target: `(rows,)`.
        lower: `(columns,)`, −∞ where there is none.
        upper: `(columns,)`, ∞ where there is none.

    Source: P. B. Stark, R. L. Parker, Bounded-variable least squares: an algorithm and applications, 1995.
    """
    free = np.isneginf(lower) & np.isposinf(upper)
    solution = np.zeros(matrix.shape[1])
    if not free.all():
        left = scipy.linalg.null_space(matrix[:, free].T).T if free.any() else np.eye(len(target))
        bounds = lower[~free], upper[~free]
        solution[~free] = _search(left @ matrix[:, ~free], left @ target, bounds)
    rest = target - matrix[:, ~free] @ solution[~free]
    solution[free] = scipy.linalg.lstsq(matrix[:, free], rest)[0] if free.any() else 0.0
    return solution


def _search(matrix: FloatArray, target: FloatArray, bounds: tuple[FloatArray, FloatArray]) -> FloatArray:
    if not matrix.size:
        return np.clip(np.zeros(matrix.shape[1]), *bounds)
    return np.asarray(
        scipy.optimize.lsq_linear(matrix, target, bounds, method="bvls", tol=1e-14, max_iter=5 * matrix.shape[1]).x
    )
