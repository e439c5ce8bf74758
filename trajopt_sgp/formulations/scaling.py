"""Units in which decision variables are of order one."""

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.problem import Box, OptimalControlProblem

FloatArray = NDArray[np.float64]


def state_scale(problem: OptimalControlProblem) -> FloatArray:
    """Return the unit of each state `(n,)`: half the range of the model's data, of the bounds, or 1."""
    return _scale(problem, slice(0, problem.state_size), problem.state_box)


def control_scale(problem: OptimalControlProblem) -> FloatArray:
    """Return the unit of each control `(m,)`: half the range of the bounds, of the model's data, or 1."""
    learned = _scale(problem, slice(problem.state_size, None), Box("", -np.ones(0), np.ones(0)))
    box = problem.control_box
    bounded = np.isfinite(box.upper - box.lower) & (box.upper > box.lower)
    return np.where(bounded, 0.5 * np.where(bounded, box.upper - box.lower, 1.0), learned)


def _scale(problem: OptimalControlProblem, part: slice, box: Box) -> FloatArray:
    normalizer = getattr(problem.dynamics, "normalizer", None)
    if normalizer is not None:
        return np.array(normalizer.scale[part], dtype=np.float64)
    size = len(range(problem.state_size + problem.control_size)[part])
    if len(box.lower) != size:
        return np.ones(size)
    width = box.upper - box.lower
    return np.where(np.isfinite(width) & (width > 0.0), 0.5 * np.where(np.isfinite(width), width, 2.0), 1.0)
