"""How far a plan is from the data, by what a problem says of them."""

import numpy as np
import torch
from numpy.typing import NDArray

from trajopt_sgp.problem import OptimalControlProblem, Trajectory

FloatArray = NDArray[np.float64]


def data_lengths(problem: OptimalControlProblem, trajectory: Trajectory) -> FloatArray | None:
    """Return the length to the data at the knots 0..N-1 `(..., N)` by the first term that measures one."""
    for term in (*problem.stage_terms, *(constraint.function for constraint in problem.constraint_terms)):
        length = getattr(term, "length", None)
        if length is not None:
            states = torch.tensor(trajectory.states, dtype=problem.dtype)
            controls = torch.tensor(trajectory.controls, dtype=problem.dtype)
            if getattr(term, "next_state", False):
                controls = torch.cat([controls, states[..., 1:, :]], dim=-1)
            with torch.no_grad():
                lengths = length(states[..., :-1, :], controls)
            return np.asarray(lengths.to(torch.float64).numpy())
    return None
