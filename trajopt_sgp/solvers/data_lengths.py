"""How far a plan is from the data, by what a problem says of them."""

import warnings
from typing import Any

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import OptimalControlProblem, Parameters, Trajectory


def data_lengths(problem: OptimalControlProblem, trajectory: Trajectory, parameters: Parameters) -> FloatArray | None:
    """Return the length to the data at the knots 0..N-1 `(..., N)` by the first term that has lengths.

    They are those at the noise level of the parameters. Where a problem has distances to data and none of them has
    lengths they are NaN; where it has no such term, None.
    """
    terms = _distances(problem)
    if not terms:
        return None
    measuring = [term for term in terms if not _fault(term)]
    if not measuring:
        return np.full(trajectory.controls.shape[:-1], np.nan)
    term = measuring[0]
    states = torch.tensor(trajectory.states, dtype=problem.dtype)
    controls = torch.tensor(trajectory.controls, dtype=problem.dtype)
    if getattr(term, "next_state", False):
        controls = torch.cat([controls, states[..., 1:, :]], dim=-1)
    with torch.no_grad():
        lengths = term.length(states[..., :-1, :], controls, parameters)
    return np.asarray(lengths.to(torch.float64).numpy())


def warn_of_no_lengths(problem: OptimalControlProblem) -> None:
    """Warn, two callers up, where `data_lengths` can only be NaN; names the model of the first term."""
    faults = [_fault(term) for term in _distances(problem)]
    if faults and all(faults):
        warnings.warn(f"{faults[0]} Until then solution.data_distance is NaN.", stacklevel=3)


def _distances(problem: OptimalControlProblem) -> list[Any]:
    terms = (*problem.stage_terms, *(constraint.function for constraint in problem.constraint_terms))
    return [term for term in terms if callable(getattr(term, "length", None))]


def _fault(term: Any) -> str:
    fault: str = getattr(term, "length_fault", "")
    return fault
