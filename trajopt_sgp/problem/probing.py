"""Checks of what the functions of a problem return, made once when the problem is built."""

import numpy as np
import torch

from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem.terms import Constraint

Leading = tuple[int, ...]


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


def check_constraint(constraint: Constraint, rows: object, leading: Leading) -> None:
    """Check rows and bounds of a constraint called with these leading dimensions.

    Raises:
        ShapeError: the function does not return rows `(..., r)`, or its bounds do not fit them.
        NotFiniteError: a bound is NaN.
        OptionError: a lower bound is above its upper bound.
    """
    what = f"constraint {constraint.name!r}"
    if not isinstance(rows, torch.Tensor) or rows.shape[:-1] != leading:
        returned = tuple(rows.shape) if isinstance(rows, torch.Tensor) else type(rows).__name__
        raise ShapeError(
            f"The {what} returned {returned} for leading dimensions {leading}; it must return rows (..., r)."
        )
    lower, upper = constraint_bounds(constraint, rows.shape[-1])
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
