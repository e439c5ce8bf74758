"""Terms of an optimal control problem: functions of one knot, batched over leading dimensions.

Letters used throughout: N intervals (the horizon), n states, m controls, r rows of a constraint. Functions are written
in torch or CasADi and may take, after state and control, the values of parameters of the problem.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import casadi
import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, dtype

from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem.functions import as_torch_function
from trajopt_sgp.problem.parameters import Parameters
from trajopt_sgp.problem.precision import cast

Numbers = ArrayLike | float
"""A number or an array; NumPy's `ArrayLike` alone leaves plain floats to the numeric tower."""

StageFunction = Callable[..., Tensor] | casadi.Function
"""A function of state `(..., n)`, control `(..., m)` and the values of parameters."""

TerminalFunction = Callable[..., Tensor] | casadi.Function
"""A function of the last state `(..., n)` and the values of parameters."""

FaceFunction = Callable[[Tensor, Tensor, Parameters], Tensor]
"""A function of state `(..., n)`, control `(..., m)` and parameters, varying ones taken at the knots in question."""

Term = TypeVar("Term", bound="_Function")


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
    residual: FaceFunction | None = None
    """r `(..., k)` where the cost is half its squared length, for Gauss-Newton methods."""


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

    @property
    def integral(self) -> bool:
        """Whether the term is a rate, integrated over time, instead of a cost summed over the knots."""
        ...

    @property
    def next_state(self) -> bool:
        """Whether it is a function of the next state too: its faces then take [u; x'] for the control."""
        ...

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of its weight and noise level, as `term.weight`, which may change between solves."""
        ...

    def number_values(self, parameters: Parameters) -> Mapping[str, float]:
        """Return these numbers by name, as they are with these parameters."""
        ...

    def face(self, needs_value: bool) -> Face:
        """Return the face for a solver that needs values (line search) or can follow a gradient field alone."""
        ...

    def to(self, dtype: dtype) -> "StageCostTerm":
        """Return the term with the modules in it converted to `dtype`."""
        ...


@runtime_checkable
class ConstraintSource(Protocol):
    """A term that can stand among the constraints of a problem, such as a distance to data with an upper bound."""

    def as_constraint(self) -> "StageConstraint":
        """Return the constraint it stands for."""
        ...


class _Function:
    """What terms made of one function share."""

    function: StageFunction | TerminalFunction
    parameters: Sequence[str]

    def evaluate(self, *points: Tensor, parameters: Parameters) -> Any:
        """Return the function at states and controls, given the values of its parameters: a tensor, if it is right."""
        return self._torch(*points, *(parameters.values[name] for name in self.parameters))  # type: ignore[attr-defined]

    def to(self: Term, dtype: dtype) -> Term:
        """Return the term with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))  # type: ignore[type-var]


@dataclass(frozen=True)
class StageCost(_Function):
    """A cost at every knot 0..N-1, summed; or, with `integral`, a rate integrated over time.

    A formulation with points within its intervals takes the mean over an interval in place of its first knot.
    """

    function: StageFunction
    """State `(..., n)`, control `(..., m)` and values of `parameters` to cost `(...)`."""
    weight: float = 1.0
    name: str = "stage_cost"
    parameters: Sequence[str] = ()
    """Names of parameters of the problem that are handed to the function."""
    integral: bool = False
    """Whether the function is a rate [1/s], integrated by the quadrature of the formulation."""
    next_state: bool = False
    """Whether the function takes the state at the next knot as well, after the control."""

    def __post_init__(self) -> None:
        if self.integral and self.next_state:
            raise OptionError(f"{self.name}: a rate is a function of one time and cannot take the next state.")
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=True))

    @property
    def annealed(self) -> bool:
        """Always False: a plain cost does not change with the progress of the solver."""
        return False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The name of its weight."""
        return (f"{self.name}.weight",)

    def number_values(self, parameters: Parameters) -> Mapping[str, float]:
        """Return its weight by name."""
        name = f"{self.name}.weight"
        return {name: parameters.number(name, self.weight)}

    def face(self, needs_value: bool) -> Face:
        """Return the weighted cost; it has a value, so every solver sees the same face."""
        return Face("value", self._weighted, self._weighted, has_value=True)

    def _weighted(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        weight = parameters.number(f"{self.name}.weight", self.weight)
        points = (state, *split_next(state, control)) if self.next_state else (state, control)
        cost: Tensor = weight * self.evaluate(*points, parameters=parameters)
        return cost


def split_next(state: Tensor, control: Tensor) -> tuple[Tensor, Tensor]:
    """Return control `(..., m)` and next state `(..., n)` from [u; x'] `(..., m+n)`."""
    n = state.shape[-1]
    return control[..., :-n], control[..., -n:]


@dataclass(frozen=True)
class LeastSquaresCost(_Function):
    """Half the weighted squared length of a residual, at every knot; Gauss-Newton methods use its Jacobian."""

    function: StageFunction
    """State `(..., n)`, control `(..., m)` and values of `parameters` to a residual `(..., k)`."""
    weight: float = 1.0
    name: str = "least_squares"
    parameters: Sequence[str] = ()
    """Names of parameters of the problem that are handed to the function."""
    integral: bool = False
    """Whether the cost is a rate [1/s], integrated by the quadrature of the formulation."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=False))

    @property
    def annealed(self) -> bool:
        """Always False: a plain cost does not change with the progress of the solver."""
        return False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The name of its weight."""
        return (f"{self.name}.weight",)

    def number_values(self, parameters: Parameters) -> Mapping[str, float]:
        """Return its weight by name."""
        name = f"{self.name}.weight"
        return {name: parameters.number(name, self.weight)}

    @property
    def next_state(self) -> bool:
        """Always False."""
        return False

    def face(self, needs_value: bool) -> Face:
        """Return the cost with its residual; every solver sees the same face."""
        return Face("value", self._cost, self._cost, has_value=True, residual=self._residual)

    def _residual(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        weight = parameters.number(f"{self.name}.weight", self.weight)
        residual: Tensor = weight**0.5 * self.evaluate(state, control, parameters=parameters)
        return residual

    def _cost(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        return 0.5 * self._residual(state, control, parameters).square().sum(-1)


@dataclass(frozen=True)
class TerminalCost(_Function):
    """A cost of the last state."""

    function: TerminalFunction
    """Last state `(..., n)` and values of `parameters` to cost `(...)`."""
    weight: float = 1.0
    name: str = "terminal_cost"
    parameters: Sequence[str] = ()
    """Names of parameters of the problem that are handed to the function."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=True))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The name of its weight."""
        return (f"{self.name}.weight",)

    def number_values(self, parameters: Parameters) -> Mapping[str, float]:
        """Return its weight by name."""
        name = f"{self.name}.weight"
        return {name: parameters.number(name, self.weight)}

    def weighted(self, state: Tensor, parameters: Parameters) -> Tensor:
        """Return the weighted cost `(...)` of last states `(..., n)`."""
        weight = parameters.number(f"{self.name}.weight", self.weight)
        cost: Tensor = weight * self.evaluate(state, parameters=parameters)
        return cost


@dataclass(frozen=True)
class ControlRateCost:
    """weight * sum over t of ((u_t - u_{t-1}) / scale)², for plans whose controls change gently."""

    weight: float = 1.0
    scale: Numbers = 1.0
    """Unit of change, a number or `(m,)`."""
    name: str = "control_rate_cost"


@dataclass(frozen=True)
class ControlRateLimit:
    """lower <= (u_t - u_{t-1}) / (time between them) <= upper, in units of the control per second."""

    upper: Numbers
    """A number or `(m,)`."""
    lower: Numbers | None = None
    """A number or `(m,)`; -upper if not given."""
    name: str = "control_rate_limit"


@dataclass(frozen=True)
class Penalty:
    """Price of violating a soft constraint by v: linear * v + quadratic * v²/2, for each row and knot.

    With a linear part above the multiplier of the constraint, the constraint holds exactly wherever it can.
    """

    linear: float = 100.0
    quadratic: float = 0.0

    def __post_init__(self) -> None:
        valid = all(np.isfinite(v) and v >= 0.0 for v in (self.linear, self.quadratic))
        if not valid or self.linear + self.quadratic == 0.0:
            raise OptionError(f"{self}: both parts must be finite and not negative, and one positive.")


@dataclass(frozen=True)
class _Bounded(_Function):
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
    """lower <= g(x, u) <= upper at the knots 0..N-1; equal bounds make an equation."""

    name: str = "stage_constraint"


@dataclass(frozen=True)
class TerminalConstraint(_Bounded):
    """lower <= h(x_N) <= upper; equal bounds make an equation."""

    name: str = "terminal_constraint"


@dataclass(frozen=True)
class BoundaryConstraint(_Bounded):
    """lower <= b(x_0, x_N) <= upper, for periodic motions for example; equal bounds make an equation."""

    name: str = "boundary_constraint"


Constraint = StageConstraint | TerminalConstraint | BoundaryConstraint

StageEntry = StageCostTerm | StageFunction | ControlRateCost
"""What may stand among the stage costs of a problem."""

ConstraintEntry = Constraint | ConstraintSource | ControlRateLimit
"""What may stand among the constraints of a problem."""


def as_stage_costs(entries: Sequence[StageEntry]) -> tuple[StageCostTerm, ...]:
    """Return the stage costs of one knot, plain functions wrapped and named after themselves."""
    return tuple(
        entry if isinstance(entry, StageCostTerm) else StageCost(_function(entry), name=_name_of(entry))
        for entry in entries
        if not isinstance(entry, ControlRateCost)
    )


def as_terminal_costs(entries: Sequence["TerminalCost | TerminalFunction"]) -> tuple[TerminalCost, ...]:
    """Wrap plain functions as terminal costs named after them."""
    return tuple(
        entry if isinstance(entry, TerminalCost) else TerminalCost(_function(entry), name=_name_of(entry))
        for entry in entries
    )


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


RESERVED_NAMES = ("defect", "state_bounds", "control_bounds", "initial_state", "final_state", "duration")
"""What rows that belong to no term of the user are called."""


def check_names(terms: Sequence[Any]) -> None:
    """Refuse two terms of one name, or of a name that rows of the library have, since results and messages go by names.

    Raises:
        OptionError: names the name.
    """
    names = [*RESERVED_NAMES, *(term.name for term in terms)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        owner = "is a name the library uses" if repeated[0] in RESERVED_NAMES else "is the name of two terms"
        raise OptionError(f"{repeated[0]!r} {owner}: give each term a name= of its own.")


def _function(entry: object) -> Callable[..., Tensor] | casadi.Function:
    if not (callable(entry) or isinstance(entry, casadi.Function)):
        raise OptionError(
            f"A cost must be a function of torch tensors, a CasADi function or a cost term, not {entry!r}."
        )
    return entry


def _name_of(entry: object) -> str:
    if isinstance(entry, casadi.Function):
        return str(entry.name())
    return str(getattr(entry, "__name__", type(entry).__name__))
