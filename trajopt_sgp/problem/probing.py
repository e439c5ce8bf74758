"""Checks of what the functions of a problem return, made once when the problem is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem.constraints import BoundaryConstraint, Constraint, StageConstraint
from trajopt_sgp.problem.dynamics import parameter_names
from trajopt_sgp.problem.terms import LeastSquaresCost, StageCost

if TYPE_CHECKING:
    from trajopt_sgp.problem.optimal_control import OptimalControlProblem

Leading = tuple[int, ...]
FloatArray = NDArray[np.float64]

# Functions of so many numbers are dear: two programs of two thousand pictures would take minutes and gigabytes.
_LONGEST = 256
_SHORT = 5


def probe(problem: OptimalControlProblem) -> None:
    """Call every function once on copies of the initial state and the middle control, to check shapes.

    Two leading dimensions, as programs and knots in a batch of plans; the second is longer than state and control, so
    that a function that takes it for theirs is caught; or, where those are pictures, another length than theirs.

    Raises:
        ShapeError, NotFiniteError, OptionError: names the function, or the parameter it asks for that does not exist.
    """
    sizes = problem.state_size, problem.control_size
    leading = (2, 1 + sum(sizes) if sum(sizes) < _LONGEST else _other_length(sizes))
    state = torch.as_tensor(np.tile(problem.start, (*leading, 1)), dtype=problem.dtype)
    control = torch.as_tensor(np.tile(problem.control_box.middle(), (*leading, 1)), dtype=problem.dtype)
    check_parameter_names(problem)
    parameters = problem.values().local(np.zeros(leading[1]))
    with torch.no_grad():
        if problem.dynamics is not None:
            extra = [parameters.values[name] for name in parameter_names(problem.dynamics)]
            check_result("dynamics", problem.dynamics(state, control, *extra), leading, (problem.state_size,))
        for stage in problem.stage_terms:
            if isinstance(stage, StageCost):
                points = (state, control, state) if stage.next_state else (state, control)
                value = stage.evaluate(*points, parameters=parameters)
                check_result(f"stage cost {stage.name!r}", value, leading)
            elif isinstance(stage, LeastSquaresCost):
                check_rows(f"residual {stage.name!r}", stage.evaluate(state, control, parameters=parameters), leading)
            else:
                last = torch.cat([control, state], dim=-1) if stage.next_state else control
                value = stage.face(needs_value=False).function(state, last, parameters)
                check_result(f"stage cost {stage.name!r}", value, leading)
        for terminal in problem.terminal_terms:
            value = terminal.evaluate(state, parameters=parameters)
            check_result(f"terminal cost {terminal.name!r}", value, leading)
        for whole in problem.trajectory_terms:
            value = whole.evaluate(*_plans(problem, leading), parameters=problem.values())
            check_result(f"trajectory cost {whole.name!r}", value, leading)
        for constraint in problem.constraint_terms:
            rows = constraint.evaluate(*constraint_points(constraint, state, control), parameters=parameters)
            check_constraint(constraint, rows, leading)


def _other_length(sizes: tuple[int, int]) -> int:
    """Return a small length that is neither of two sizes."""
    return next(length for length in range(_SHORT, _SHORT + 3) if length not in sizes)


def _plans(problem: OptimalControlProblem, leading: Leading) -> tuple[torch.Tensor, torch.Tensor]:
    """Return states `(*leading, N+1, n)` that stay at the initial one, and middle controls `(*leading, N, m)`."""
    states = torch.tensor(problem.start, dtype=problem.dtype).expand(*leading, problem.horizon + 1, -1)
    controls = torch.tensor(problem.control_box.middle(), dtype=problem.dtype)
    return states, controls.expand(*leading, problem.horizon, -1)


def check_parameter_names(problem: OptimalControlProblem) -> None:
    """Check that every parameter that a function asks for is declared, and none named like a number of a term.

    Raises:
        OptionError: names the term and the parameter, and lists those that are declared; or names the reserved one.
    """
    reserved = sorted({"previous_control", *problem.number_names} & set(problem.parameters))
    if reserved:
        raise OptionError(
            f"parameters: the name {reserved[0]!r} is reserved; among the parameters of a solve it stands for a "
            "weight, a noise level or the previous control of the problem."
        )
    terms = [*problem.stage_terms, *problem.terminal_terms, *problem.constraint_terms]
    named = [(term.name, getattr(term, "parameters", ())) for term in terms]
    named += [(term.name, term.parameters) for term in problem.trajectory_terms]
    for owner, names in [("dynamics", parameter_names(problem.dynamics)), *named]:
        for name in names:
            if name not in problem.parameters:
                known = ", ".join(problem.parameters) or "none"
                raise OptionError(
                    f"{owner} asks for parameter {name!r}, which the problem does not have; it has: {known}."
                )


def constraint_points(
    constraint: Constraint, state: torch.Tensor, control: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | tuple[torch.Tensor]:
    """Return what a kind of constraint is a function of, besides parameters, to try it out."""
    if isinstance(constraint, StageConstraint):
        return state, control
    return (state, state) if isinstance(constraint, BoundaryConstraint) else (state,)


def count_rows(problem: OptimalControlProblem, constraint: Constraint) -> int:
    """Return the number of rows r of a constraint at one knot."""
    state = torch.tensor(problem.start[None], dtype=problem.dtype)
    control = torch.tensor(problem.control_box.middle()[None], dtype=problem.dtype)
    parameters = problem.values().local(np.zeros(1))
    with torch.no_grad():
        rows = constraint.evaluate(*constraint_points(constraint, state, control), parameters=parameters)
    return int(rows.shape[-1])


def check_result(what: str, result: object, leading: Leading, size: tuple[int, ...] = ()) -> None:
    """Check that a function called with these leading dimensions kept them, and returned `(*leading, *size)`.

    Raises:
        ShapeError: names the function, what it returned and what it must return.
    """
    if not isinstance(result, torch.Tensor):
        raise ShapeError(f"The {what} returned {type(result).__name__}; it must return a torch tensor.")
    shape = tuple(result.shape)
    if shape != (*leading, *size):
        raise ShapeError(
            f"The {what} returned shape {shape} for leading dimensions {leading}; it must return {(*leading, *size)}: "
            "index and reduce the last dimension only."
        )


def check_rows(what: str, rows: object, leading: Leading) -> int:
    """Check that a function returned rows `(*leading, r)`, and return r.

    Raises:
        ShapeError: it did not.
    """
    if not isinstance(rows, torch.Tensor) or rows.shape[:-1] != leading:
        returned = tuple(rows.shape) if isinstance(rows, torch.Tensor) else type(rows).__name__
        raise ShapeError(
            f"The {what} returned {returned} for leading dimensions {leading}; it must return rows (..., r)."
        )
    return int(rows.shape[-1])


def check_constraint(constraint: Constraint, rows: object, leading: Leading) -> None:
    """Check rows and bounds of a constraint called with these leading dimensions.

    Raises:
        ShapeError: the function does not return rows `(..., r)`, or its bounds do not fit them.
        NotFiniteError: a bound is NaN.
        OptionError: a lower bound is above its upper bound.
    """
    what = f"constraint {constraint.name!r}"
    lower, upper = constraint_bounds(constraint, check_rows(what, rows, leading))
    if np.isnan(lower).any() or np.isnan(upper).any():
        raise NotFiniteError(f"The bounds of {what} hold NaN; use infinity for no bound.")
    if (lower > upper).any():
        row = int(np.argmax(lower > upper))
        raise OptionError(f"The {what} has lower bound {lower[row]} above upper bound {upper[row]} in row {row}.")


def constraint_bounds(constraint: Constraint, rows: int) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bounds `(rows,)` of a constraint.

    Raises:
        ShapeError: the bounds do not fit the number of rows.
    """
    try:
        return (
            np.broadcast_to(np.asarray(constraint.lower, dtype=np.float64), (rows,)),
            np.broadcast_to(np.asarray(constraint.upper, dtype=np.float64), (rows,)),
        )
    except ValueError as error:
        raise ShapeError(f"The bounds of constraint {constraint.name!r} do not fit its {rows} rows.") from error
