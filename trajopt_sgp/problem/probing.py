"""Checks of what the functions of a problem return, made once when the problem is built."""

import numpy as np
import torch

from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem.terms import Constraint


def check_result(what: str, result: object, shape: tuple[int, ...]) -> None:
    """Check the result of a function called on a batch of two.

    Raises:
        ShapeError: names the function, what it returned and what it must return.
    """
    if not isinstance(result, torch.Tensor):
        raise ShapeError(f"The {what} returned {type(result).__name__}; it must return a torch tensor.")
    if tuple(result.shape) != shape:
        raise ShapeError(
            f"The {what} returned shape {tuple(result.shape)} for a batch of {shape[0]}; it must return {shape}: "
            "reduce over the last dimension only."
        )


def check_constraint(constraint: Constraint, rows: object) -> None:
    """Check rows and bounds of a constraint called on a batch of two.

    Raises:
        ShapeError: the function does not return rows `(2, r)`, or its bounds do not fit them.
        NotFiniteError: a bound is NaN.
        OptionError: a lower bound is above its upper bound.
    """
    what = f"constraint {constraint.name!r}"
    if not isinstance(rows, torch.Tensor) or rows.ndim != 2 or len(rows) != 2:
        returned = tuple(rows.shape) if isinstance(rows, torch.Tensor) else type(rows).__name__
        raise ShapeError(f"The {what} returned {returned} for a batch of 2; it must return rows (2, r).")
    lower, upper = constraint_bounds(constraint, rows.shape[1])
    if np.isnan(lower).any() or np.isnan(upper).any():
        raise NotFiniteError(f"The bounds of {what} hold NaN; use infinity for no bound.")
    if (lower > upper).any():
        row = int(np.argmax(lower > upper))
        raise OptionError(f"The {what} has lower bound {lower[row]} above upper bound {upper[row]} in row {row}.")


def constraint_bounds(constraint: Constraint, rows: int) -> tuple[np.ndarray, np.ndarray]:
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
