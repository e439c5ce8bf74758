"""Units in which decision variables and constraints are of order one."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.generic import differentiate
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.problem.boundary import make_unit

_SAMPLES = 8
# Share of the derivative that a row was scaled by, above which its violation is judged by that scale.
_STEEP = 0.1
# What such a row may be violated by, in units of that share.
_NEAR = 5e-4


def state_scale(problem: OptimalControlProblem) -> FloatArray:
    """Return the unit of each state `(n,)`: the user's, half the range of the model's data, of the bounds, or 1."""
    if problem.state_scale is not None:
        return make_unit("state_scale", problem.state_scale, problem.state_size)
    learned = _learned(problem, slice(0, problem.state_size))
    return (
        _half_width(problem.state_box.lower, problem.state_box.upper, np.ones(problem.state_size))
        if learned is None
        else learned
    )


def control_scale(problem: OptimalControlProblem) -> FloatArray:
    """Return the unit of each control `(m,)`: the user's, half the range of the bounds, of the model's data, or 1."""
    if problem.control_scale is not None:
        return make_unit("control_scale", problem.control_scale, problem.control_size)
    learned = _learned(problem, slice(problem.state_size, None))
    other = np.ones(problem.control_size) if learned is None else learned
    return _half_width(problem.control_box.lower, problem.control_box.upper, other)


def row_scale(function: Callable[[Tensor], Tensor], units: FloatArray, centre: FloatArray) -> FloatArray:
    """Return factors `(r,)` that make the derivatives of rows by scaled variables of order one.

    They are the inverse of the largest derivative at a few points around `centre`, within half a unit; 1 where a row
    does not react.

    Args:
        function: z `(K, d)` to rows `(K, r)`.
        units: of z, `(d,)`.
        centre: a typical z, `(d,)`.
    """
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, (_SAMPLES, len(centre)))
    point = torch.tensor(centre + spread * units, requires_grad=True)
    jacobian = differentiate(function(point), point).detach().numpy() * units
    largest = np.nan_to_num(np.abs(jacobian), nan=0.0, posinf=0.0).max(axis=(0, 2))
    return np.where(largest > 1e-8, 1.0 / np.where(largest > 1e-8, largest, 1.0), 1.0)


def is_far(excess: FloatArray, slopes: FloatArray, feasibility: float, rounding: float) -> bool:
    """Return whether scaled variables must move far to meet a row, though its scaled violation is small.

    A row that is steep where it got its scale and flat at the plan is scaled to nothing there: its violation is judged
    by its slope at the plan. A row with a tenth of its slope or more is judged by its scale alone.

    Args:
        excess: violation of each scaled row, `(R,)`; not positive within the bounds.
        slopes: largest derivative of each by a scaled variable, `(R,)`; NaN where unknown.
        feasibility: largest violation of a row that holds; the one of a flat row need not be less than 5e-4.
        rounding: relative error of the rows, which is no violation.
    """
    limit = max(feasibility, _NEAR)
    flat = np.maximum(np.nan_to_num(slopes, nan=1.0, posinf=1.0), 10.0 * _STEEP * rounding / limit)
    return bool((_STEEP * excess > limit * flat)[flat < _STEEP].any())


def _learned(problem: OptimalControlProblem, part: slice) -> FloatArray | None:
    normalizer = getattr(problem.dynamics, "normalizer", None)
    return None if normalizer is None else np.array(normalizer.scale[part], dtype=np.float64)


def _half_width(lower: FloatArray, upper: FloatArray, otherwise: FloatArray) -> FloatArray:
    width = upper - lower
    bounded = np.isfinite(width) & (width > 0.0)
    return np.where(bounded, 0.5 * np.where(bounded, width, 2.0), otherwise)
