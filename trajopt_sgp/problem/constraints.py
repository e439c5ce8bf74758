"""Constraints of an optimal control problem, besides the dynamics, the bounds and the ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem.boundary import make_scale
from trajopt_sgp.problem.functions import as_torch_function
from trajopt_sgp.problem.terms import FunctionTerm, Numbers, StageFunction

T = TypeVar("T")


@runtime_checkable
class ConstraintSource(Protocol):
    """A term that can stand among the constraints of a problem, such as a distance to data with an upper bound."""

    def as_constraint(self) -> "StageConstraint":
        """Return the constraint it stands for."""
        ...


@dataclass(frozen=True)
class ControlRateLimit:
    """lower <= (u_t - u_{t-1}) / (time between them) <= upper, in units of the control per second."""

    upper: Numbers
    """A number or `(m,)`."""
    lower: Numbers | None = None
    """A number or `(m,)`; -upper if not given."""
    name: str = "control_rate_limit"

    def bounds(self, size: int) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds `(m,)` for so many controls.

        Raises:
            ShapeError, NotFiniteError, OptionError: they do not fit, are not finite, or cross.
        """
        upper = make_scale(f"upper of {self.name!r}", self.upper, size)
        lower = -upper if self.lower is None else make_scale(f"lower of {self.name!r}", self.lower, size)
        if (lower > upper).any():
            raise OptionError(
                f"{self.name}: lower = {lower} lies above upper = {upper}; without lower= it is -upper, and upper must "
                "not be negative."
            )
        return lower, upper


@dataclass(frozen=True)
class Penalty:
    """Price of violating a soft constraint by v: linear * v + quadratic * v²/2, for each row and knot.

    Collocation, which has several places in an interval, charges their mean over it, as of a `StageCost`; rows at the
    end of the plan are charged once. With a linear part above the multiplier of the constraint, the constraint holds
    exactly wherever it can.
    """

    linear: float = 100.0
    quadratic: float = 0.0

    def __post_init__(self) -> None:
        valid = all(np.isfinite(v) and v >= 0.0 for v in (self.linear, self.quadratic))
        if not valid or self.linear + self.quadratic == 0.0:
            raise OptionError(f"{self}: both parts must be finite and not negative, and one positive.")


@dataclass(frozen=True)
class _Bounded(FunctionTerm):
    function: StageFunction
    """Points and values of `parameters` to rows `(..., r)`; torch or CasADi."""
    lower: Numbers = float("-inf")
    """Lower bounds, a number or `(r,)`."""
    upper: Numbers = float("inf")
    """Upper bounds, a number or `(r,)`."""
    name: str = ""
    """Name in results and messages."""
    parameters: Sequence[str] = ()
    """Names of parameters of the problem that are handed to the function."""
    soft: Penalty | None = None
    """Allow violations at a price."""
    scale: Numbers | None = None
    """Size of the rows, a number or `(r,)`; by default so that their derivatives are of order one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=False))


@dataclass(frozen=True)
class StageConstraint(_Bounded):
    """lower <= g(x, u) <= upper at the knots 0..N-1; equal bounds make an equation.

    The last state has no control: what shall hold there too is a `TerminalConstraint` besides.

    Raises:
        OptionError: both `after_start` and `next_state` are set.
    """

    name: str = "stage_constraint"
    after_start: bool = False
    """Whether the first knot is left out, whose state is given."""
    next_state: bool = False
    """Whether the function takes the state at the next knot as well, after the control: g(x_t, u_t, x_{t+1})."""

    def __post_init__(self) -> None:
        if self.after_start and self.next_state:
            raise OptionError(
                f"{self.name}: with next_state=True the first transition counts, so leave out after_start=."
            )
        super().__post_init__()

    def arguments(self, state: T, control: T) -> tuple[T, ...]:
        """Return what the function takes before its parameters: state, control and maybe a state again."""
        return (state, control, state) if self.next_state else (state, control)


@dataclass(frozen=True)
class TerminalConstraint(_Bounded):
    """lower <= h(x_N) <= upper; equal bounds make an equation."""

    name: str = "terminal_constraint"

    def arguments(self, state: T, control: T) -> tuple[T, ...]:
        """Return what the function takes before its parameters: one state."""
        return (state,)


@dataclass(frozen=True)
class BoundaryConstraint(_Bounded):
    """lower <= b(x_0, x_N) <= upper, for periodic motions for example; equal bounds make an equation."""

    name: str = "boundary_constraint"

    def arguments(self, state: T, control: T) -> tuple[T, ...]:
        """Return what the function takes before its parameters: two states."""
        return state, state


Constraint = StageConstraint | TerminalConstraint | BoundaryConstraint

ConstraintEntry = Constraint | ConstraintSource | ControlRateLimit
"""What may stand among the constraints of a problem."""


def as_constraints(entries: Sequence[ConstraintEntry]) -> tuple[Constraint, ...]:
    """Return the constraints on functions, distances to data turned into such.

    Raises:
        OptionError: an entry is no constraint.
    """
    constraints: list[Constraint] = []
    for entry in entries:
        if isinstance(entry, ControlRateLimit):
            continue
        constraint: object = entry.as_constraint() if isinstance(entry, ConstraintSource) else entry
        if not isinstance(constraint, Constraint):
            kinds = "StageConstraint, TerminalConstraint, BoundaryConstraint or ControlRateLimit"
            raise OptionError(f"A constraint must be a {kinds}, not {entry!r}.")
        constraints.append(constraint)
    return tuple(constraints)
