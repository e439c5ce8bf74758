"""Costs of a trajectory, straight from the definition of the problem and independent of any formulation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.errors import NotFiniteError
from trajopt_sgp.problem.optimal_control import OptimalControlProblem
from trajopt_sgp.problem.terms import Constraint, StageConstraint
from trajopt_sgp.problem.trajectory import Trajectory

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CostTerms:
    """Cost of a trajectory, or of a batch of them, by term."""

    stage: Mapping[str, FloatArray]
    """Stage costs at the knots 0..N-1, `(..., N)`."""
    terminal: Mapping[str, FloatArray]
    """Terminal costs, `(...)`."""
    surrogates: frozenset[str]
    """Names of the stage costs that are a gradient field: what stands here is their merit."""

    def totals(self) -> dict[str, FloatArray]:
        """Return the cost `(...)` of every term, stage costs summed over the knots."""
        return {**{name: np.asarray(values.sum(axis=-1)) for name, values in self.stage.items()}, **self.terminal}


def evaluate_costs(
    problem: OptimalControlProblem, trajectory: Trajectory, needs_value: bool, progress: float = 1.0
) -> CostTerms:
    """Evaluate every cost term, in the precision of the problem's dynamics.

    Args:
        problem: its costs are evaluated; its initial state plays no part.
        trajectory: may be a batch.
        needs_value: which face of a distance to data is meant, as in `StageCostTerm.face`.
        progress: where on the annealing schedule distances to data are evaluated, in [0, 1].
    """
    states = torch.tensor(trajectory.states, dtype=problem.dtype)
    controls = torch.tensor(trajectory.controls, dtype=problem.dtype)
    faces = {term.name: term.face(needs_value) for term in problem.stage_terms}
    with torch.no_grad():
        stage = {name: face.merit(states[..., :-1, :], controls, progress) for name, face in faces.items()}
        terminal = {term.name: term.weight * term.function(states[..., -1, :]) for term in problem.terminal_terms}
    return CostTerms(
        {name: _numpy(values) for name, values in stage.items()},
        {name: _numpy(values) for name, values in terminal.items()},
        frozenset(name for name, face in faces.items() if not face.has_value),
    )


def check_finite_terms(problem: OptimalControlProblem, trajectory: Trajectory, needs_value: bool) -> None:
    """Evaluate costs and constraints on a guess and refuse NaN and infinity.

    Raises:
        NotFiniteError: names the first such term and its knot.
    """
    terms = evaluate_costs(problem, trajectory, needs_value, progress=0.0)
    for name, values in terms.stage.items():
        _check_finite(f"stage cost {name!r}", values)
    for name, values in terms.terminal.items():
        _check_finite(f"terminal cost {name!r}", values[..., None], trajectory.horizon)
    states = torch.tensor(trajectory.states, dtype=problem.dtype)
    controls = torch.tensor(trajectory.controls, dtype=problem.dtype)
    for constraint in problem.constraint_terms:
        with torch.no_grad():
            rows = _numpy(evaluate_constraint(constraint, states, controls).sum(-1))
        first_knot = 0 if isinstance(constraint, StageConstraint) else trajectory.horizon
        _check_finite(f"constraint {constraint.name!r}", rows, first_knot)


def evaluate_constraint(constraint: Constraint, states: Tensor, controls: Tensor) -> Tensor:
    """Return the rows of a constraint `(..., k, r)` for states `(..., N+1, n)`, controls `(..., N, m)`; k is N or 1."""
    if isinstance(constraint, StageConstraint):
        return constraint.function(states[..., :-1, :], controls)
    return constraint.function(states[..., -1:, :])


def count_rows(problem: OptimalControlProblem, constraint: Constraint) -> int:
    """Return the number of rows r of a constraint at one knot."""
    states = torch.as_tensor(np.stack([problem.start] * 2), dtype=problem.dtype)
    controls = torch.as_tensor(problem.control_box.middle()[None], dtype=problem.dtype)
    with torch.no_grad():
        return int(evaluate_constraint(constraint, states, controls).shape[-1])


def _check_finite(what: str, values: FloatArray, first_knot: int = 0) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise NotFiniteError(f"The {what} is NaN or infinite at knot {first_knot + bad[0][-1]} of the guess.")


def _numpy(values: torch.Tensor) -> FloatArray:
    return values.detach().to(torch.float64).numpy()
