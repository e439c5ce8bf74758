"""Terms of an optimal control problem: functions of one knot, batched over leading dimensions.

Letters used throughout: N intervals (the horizon), n states, m controls, r rows of a constraint.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.errors import OptionError

Numbers = ArrayLike | float
"""A number or an array; NumPy's `ArrayLike` alone leaves plain floats to the numeric tower."""

StageFunction = Callable[[Tensor, Tensor], Tensor]
"""A function of state `(..., n)` and control `(..., m)`."""

TerminalFunction = Callable[[Tensor], Tensor]
"""A function of the last state `(..., n)`."""

Function = TypeVar("Function")

FaceFunction = Callable[[Tensor, Tensor, float], Tensor]
"""A function of state `(..., n)`, control `(..., m)` and annealing progress in [0, 1]."""


@runtime_checkable
class Dynamics(Protocol):
    """A discrete-time model x' = f(x, u)."""

    @property
    def state_size(self) -> int:
        """Number of state coordinates n."""
        ...

    @property
    def control_size(self) -> int:
        """Number of control coordinates m."""
        ...

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        """Return the next state `(..., n)` after state `(..., n)` and control `(..., m)`."""
        ...


@dataclass(frozen=True)
class Face:
    """One way in which a cost shows itself to a solver."""

    form: str
    """What stands behind it: "value", or for a distance to data also "field" or "residual"."""
    function: FaceFunction
    """The cost `(...)`, weight included; for a field its gradient alone has a meaning."""
    merit: FaceFunction
    """What iterates are compared by; equals `function` where that has a value."""
    has_value: bool
    """Whether a line search may trust the value of `function`."""


@runtime_checkable
class StageCostTerm(Protocol):
    """What a problem asks of a stage cost: `StageCost` and every distance to data fulfil it."""

    @property
    def name(self) -> str:
        """Name in results and messages."""
        ...

    @property
    def annealed(self) -> bool:
        """Whether the term changes with the progress of the solver."""
        ...

    def face(self, needs_value: bool) -> Face:
        """Return the face for a solver that needs values (line search) or can follow a gradient field alone."""
        ...

    def to(self, dtype: torch.dtype) -> "StageCostTerm":
        """Return the term with the modules in it converted to `dtype`."""
        ...


@runtime_checkable
class ConstraintSource(Protocol):
    """A term that can stand among the constraints of a problem, such as a distance to data with an upper bound."""

    def as_constraint(self) -> "StageConstraint":
        """Return the constraint it stands for."""
        ...


@dataclass(frozen=True)
class StageCost:
    """A running cost, summed over the knots 0..N-1."""

    function: StageFunction
    """State `(..., n)` and control `(..., m)` to cost `(...)`."""
    weight: float = 1.0
    name: str = "stage_cost"

    @property
    def annealed(self) -> bool:
        """Always False: a plain cost does not change with the progress of the solver."""
        return False

    def face(self, needs_value: bool) -> Face:
        """Return the weighted cost; it has a value, so every solver sees the same face."""
        weighted: FaceFunction = lambda state, control, progress: self.weight * self.function(state, control)  # noqa: E731
        return Face("value", weighted, weighted, has_value=True)

    def to(self, dtype: torch.dtype) -> "StageCost":
        """Return the cost with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))


@dataclass(frozen=True)
class TerminalCost:
    """A cost of the last state."""

    function: TerminalFunction
    """Last state `(..., n)` to cost `(...)`."""
    weight: float = 1.0
    name: str = "terminal_cost"

    def to(self, dtype: torch.dtype) -> "TerminalCost":
        """Return the cost with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))


@dataclass(frozen=True)
class StageConstraint:
    """lower <= g(x, u) <= upper at the knots 0..N-1; equal bounds make an equation."""

    function: StageFunction
    """State `(..., n)` and control `(..., m)` to rows `(..., r)`."""
    lower: Numbers = float("-inf")
    """Lower bounds, a number or `(r,)`."""
    upper: Numbers = float("inf")
    """Upper bounds, a number or `(r,)`."""
    name: str = "stage_constraint"

    def to(self, dtype: torch.dtype) -> "StageConstraint":
        """Return the constraint with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))


@dataclass(frozen=True)
class TerminalConstraint:
    """lower <= h(x_N) <= upper; equal bounds make an equation."""

    function: TerminalFunction
    """Last state `(..., n)` to rows `(..., r)`."""
    lower: Numbers = float("-inf")
    """Lower bounds, a number or `(r,)`."""
    upper: Numbers = float("inf")
    """Upper bounds, a number or `(r,)`."""
    name: str = "terminal_constraint"

    def to(self, dtype: torch.dtype) -> "TerminalConstraint":
        """Return the constraint with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))


Constraint = StageConstraint | TerminalConstraint


def parameter_dtype(function: object) -> torch.dtype:
    """Return the floating-point type of a module's parameters or buffers; float64 for anything else."""
    if isinstance(function, torch.nn.Module):
        for tensor in (*function.parameters(), *function.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
    return torch.float64


def cast(function: Function, dtype: torch.dtype) -> Function:
    """Return a module converted to `dtype`, as a copy unless it has that type already; anything else unchanged."""
    if isinstance(function, torch.nn.Module) and parameter_dtype(function) != dtype:
        return copy.deepcopy(function).to(dtype)
    return function


def as_stage_costs(entries: Sequence[StageCostTerm | StageFunction]) -> tuple[StageCostTerm, ...]:
    """Wrap plain functions as stage costs named after them."""
    return tuple(
        entry if isinstance(entry, StageCostTerm) else StageCost(_function(entry), name=_name_of(entry))
        for entry in entries
    )


def as_terminal_costs(entries: Sequence["TerminalCost | TerminalFunction"]) -> tuple[TerminalCost, ...]:
    """Wrap plain functions as terminal costs named after them."""
    return tuple(
        entry if isinstance(entry, TerminalCost) else TerminalCost(_function(entry), name=_name_of(entry))
        for entry in entries
    )


def as_constraints(entries: Sequence[Constraint | ConstraintSource]) -> tuple[Constraint, ...]:
    """Turn every entry into a constraint.

    Raises:
        OptionError: an entry is no constraint.
    """
    constraints: list[Constraint] = []
    for entry in entries:
        constraint = entry.as_constraint() if isinstance(entry, ConstraintSource) else entry
        if not isinstance(constraint, StageConstraint | TerminalConstraint):
            raise OptionError(f"A constraint must be a StageConstraint or a TerminalConstraint, not {entry!r}.")
        constraints.append(constraint)
    return tuple(constraints)


RESERVED_NAMES = ("defect", "state_bounds", "control_bounds")
"""What rows that belong to no term of the user are called."""


def check_names(terms: Sequence[StageCostTerm | TerminalCost | StageConstraint | TerminalConstraint]) -> None:
    """Refuse two terms of one name, or of a name that rows of the library have, since results and messages go by names.

    Raises:
        OptionError: names the name.
    """
    names = [*RESERVED_NAMES, *(term.name for term in terms)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        owner = "is a name the library uses" if repeated[0] in RESERVED_NAMES else "is the name of two terms"
        raise OptionError(f"{repeated[0]!r} {owner}: give each term a name= of its own.")


def _function(entry: object) -> Callable[..., Tensor]:
    if not callable(entry):
        raise OptionError(f"A cost must be a function of torch tensors or a cost term, not {entry!r}.")
    return entry


def _name_of(entry: object) -> str:
    return str(getattr(entry, "__name__", type(entry).__name__))
