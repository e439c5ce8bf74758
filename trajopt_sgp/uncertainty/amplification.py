"""How strongly a plan turns small errors of its model into a large error of its last state."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.problem import Dynamics, Trajectory
from trajopt_sgp.problem.boundary import make_unit
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.uncertainty.error_tube import state_jacobians
from trajopt_sgp.uncertainty.model_error import check_step


def error_amplification(dynamics: Dynamics, trajectory: Trajectory, state_scale: ArrayLike | float) -> float:
    """Return the largest ratio of the error of the last state to the root sum of squares of one-step errors.

    To first order, one-step errors e_1..e_N of the model lead to x_N - x̂_N = Σ_t A_{N-1} ... A_t e_t with A_t = ∂f/∂x
    along the plan; the ratio is the spectral norm of [A_{N-1}...A_1, ..., A_{N-1}, I], all in units of `state_scale`.
    The controls are those of the plan, open loop.

    Args:
        dynamics: the model f, discrete in time and without parameters.
        trajectory: one plan.
        state_scale: positive, a number or `(n,)`.

    Raises:
        ShapeError: a batch of plans, or a model or a scale of another size.
        OptionError: the model is continuous in time or takes parameters, or the scale is not positive.
        NotFiniteError: the plan or the scale is not finite.
    """
    size = trajectory.states.shape[-1]
    if trajectory.states.ndim > 2:
        raise ShapeError(
            f"error_amplification is of one plan, not of a batch {trajectory.states.shape[:-2]}: take each of "
            "trajectory.members()."
        )
    check_step(dynamics, "error_amplification", "plan", (size, trajectory.controls.shape[-1]))
    trajectory.check_finite("plan")
    scale = make_unit("state_scale", state_scale, size)
    jacobians = _jacobians(dynamics, trajectory) * scale / scale[:, None]
    sensitivity = np.eye(size)
    blocks = [sensitivity]
    for jacobian in jacobians[:0:-1]:
        sensitivity = sensitivity @ jacobian
        blocks.append(sensitivity)
    return float(np.linalg.norm(np.concatenate(blocks, axis=1), ord=2))


def _jacobians(dynamics: Dynamics, trajectory: Trajectory) -> FloatArray:
    dtype = parameter_dtype(dynamics)
    states, controls = (torch.tensor(part, dtype=dtype) for part in (trajectory.states[:-1], trajectory.controls))
    return state_jacobians(dynamics, states, controls).detach().to(torch.float64).numpy()
