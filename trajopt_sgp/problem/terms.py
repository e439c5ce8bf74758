"""Terms of an optimal control problem: functions of one knot or of the whole plan, batched over leading dimensions.

Letters used throughout: N intervals (the horizon), n states, m controls, r rows of a constraint. Functions are written
in torch or CasADi and may take, after state and control, the values of parameters of the problem.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any, Protocol, TypeVar, runtime_checkable

import casadi
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem.functions import as_torch_function
from trajopt_sgp.problem.parameters import Parameters, finite_number, not_negative
from trajopt_sgp.problem.precision import cast, parameter_dtype

Numbers = ArrayLike | float
"""A number or an array; NumPy's `ArrayLike` alone leaves plain floats to the numeric tower."""

StageFunction = Callable[..., Tensor] | casadi.Function
"""A function of state `(..., n)`, control `(..., m)` and the values of parameters."""

TerminalFunction = Callable[..., Tensor] | casadi.Function
"""A function of the last state `(..., n)` and the values of parameters."""

TrajectoryFunction = Callable[..., Tensor]
"""A function of states `(..., N+1, n)`, controls `(..., N, m)` and the values of parameters."""

FaceFunction = Callable[[Tensor, Tensor, Parameters], Tensor]
"""A function of state `(..., n)`, control `(..., m)` and parameters, varying ones taken at the knots in question."""

Term = TypeVar("Term", bound="FunctionTerm")
Entry = TypeVar("Entry")


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

    def check_number(self, name: str, value: float) -> None:
        """Refuse a finite value that one of these numbers cannot have.

        Raises:
            OptionError: names it.
        """
        ...

    def face(self, needs_value: bool) -> Face:
        """Return the face for a solver that needs values (line search) or can follow a gradient field alone."""
        ...

    def to(self, dtype: torch.dtype) -> "StageCostTerm":
        """Return the term with the modules in it converted to `dtype`."""
        ...


class FunctionTerm:
    """A term made of one function, in torch or CasADi."""

    function: StageFunction | TerminalFunction | TrajectoryFunction
    parameters: Sequence[str]

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type: that of the function if it is a torch module with parameters, else float64."""
        return parameter_dtype(self.function)

    def evaluate(self, *points: Tensor, parameters: Parameters) -> Any:
        """Return the function at states and controls, given the values of its parameters: a tensor, if it is right."""
        return self._torch(*points, *(parameters.values[name] for name in self.parameters))  # type: ignore[attr-defined]

    def to(self: Term, dtype: torch.dtype) -> Term:
        """Return the term with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))  # type: ignore[type-var]


class _HasWeight:
    """What a cost tells of its weight, the one number of it that may change between solves."""

    weight: float
    name: str

    def __post_init__(self) -> None:
        finite_number(self.numbers[0], self.weight)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The name of its weight."""
        return (f"{self.name}.weight",)

    def check_number(self, name: str, value: float) -> None:
        """A weight of either sign will do: the cost may be a reward."""

    def number_values(self, parameters: Parameters) -> Mapping[str, float]:
        """Return its weight by name."""
        return {self.numbers[0]: self.weight_at(parameters)}

    def weight_at(self, parameters: Parameters) -> Any:
        """Return its weight with these parameters."""
        return parameters.number(self.numbers[0], self.weight)


@dataclass(frozen=True)
class _Weighted(_HasWeight, FunctionTerm):
    function: StageFunction
    """Points, see the class, and values of `parameters`, to the term's value; torch or CasADi."""
    weight: float = 1.0
    """May change between solves, as `name.weight`."""
    name: str = ""
    """Name in results and messages."""
    parameters: Sequence[str] = ()
    """Names of parameters of the problem that are handed to the function."""

    @property
    def annealed(self) -> bool:
        """Always False: a plain cost does not change with the progress of the solver."""
        return False


@dataclass(frozen=True)
class StageCost(_Weighted):
    """A cost at every knot 0..N-1, summed; or, with `integral`, a rate integrated over time.

    The function maps state `(..., n)` and control `(..., m)` to a cost `(...)`. A formulation with points within its
    intervals takes the mean over an interval in place of its first knot.
    """

    name: str = "stage_cost"
    integral: bool = False
    """Whether the function is a rate [1/s], integrated by the quadrature of the formulation."""
    next_state: bool = False
    """Whether the function takes the state at the next knot as well, after the control."""

    def __post_init__(self) -> None:
        if self.integral and self.next_state:
            raise OptionError(f"{self.name}: a rate is a function of one time and cannot take the next state.")
        super().__post_init__()
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=True))

    def face(self, needs_value: bool) -> Face:
        """Return the weighted cost; it has a value, so every solver sees the same face."""
        return Face("value", self._cost, self._cost, has_value=True)

    def _cost(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        points = (state, *split_next(state, control)) if self.next_state else (state, control)
        cost: Tensor = self.weight_at(parameters) * self.evaluate(*points, parameters=parameters)
        return cost


def split_next(state: Tensor, control: Tensor) -> tuple[Tensor, Tensor]:
    """Return control `(..., m)` and next state `(..., n)` from [u; x'] `(..., m+n)`."""
    n = state.shape[-1]
    return control[..., :-n], control[..., -n:]


@dataclass(frozen=True)
class LeastSquaresCost(_Weighted):
    """Half the weighted squared length of a residual, at every knot; Gauss-Newton methods use its Jacobian.

    The function maps state `(..., n)` and control `(..., m)` to a residual `(..., k)`.
    """

    name: str = "least_squares"
    integral: bool = False
    """Whether the cost is a rate [1/s], integrated by the quadrature of the formulation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number(self.numbers[0], self.weight)
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=False))

    @property
    def next_state(self) -> bool:
        """Always False."""
        return False

    def check_number(self, name: str, value: float) -> None:
        """Refuse a negative weight, which is the square of no residual."""
        not_negative(name, value)

    def face(self, needs_value: bool) -> Face:
        """Return the cost with its residual; every solver sees the same face."""
        return Face("value", self._cost, self._cost, has_value=True, residual=self._residual)

    def _residual(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        residual: Tensor = self.weight_at(parameters) ** 0.5 * self.evaluate(state, control, parameters=parameters)
        return residual

    def _cost(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        return 0.5 * self._residual(state, control, parameters).square().sum(-1)


@dataclass(frozen=True)
class TerminalCost(_Weighted):
    """A cost of the last state: the function maps `(..., n)` to `(...)`."""

    name: str = "terminal_cost"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_torch", as_torch_function(self.function, scalar=True))

    def weighted(self, state: Tensor, parameters: Parameters) -> Tensor:
        """Return the weighted cost `(...)` of last states `(..., n)`."""
        cost: Tensor = self.weight_at(parameters) * self.evaluate(state, parameters=parameters)
        return cost


@dataclass(frozen=True)
class TrajectoryCost(_Weighted):
    """A cost of the whole plan, such as the variance of its total cost over an ensemble, for shooting alone.

    The function maps states `(..., N+1, n)` and controls `(..., N, m)` to `(...)`, in torch. Parameters that vary over
    time come with their values at all knots, `(N+1, k)`. Second derivatives are dense and taken by autograd.
    """

    name: str = "trajectory_cost"

    def __post_init__(self) -> None:
        if isinstance(self.function, casadi.Function):
            raise OptionError(
                f"{self.name}: a cost of the whole plan must be a function of torch tensors, not of CasADi."
            )
        super().__post_init__()
        object.__setattr__(self, "_torch", self.function)

    def weighted(self, states: Tensor, controls: Tensor, parameters: Parameters) -> Tensor:
        """Return the weighted cost `(...)` of plans."""
        cost: Tensor = self.weight_at(parameters) * self.evaluate(states, controls, parameters=parameters)
        return cost


@dataclass(frozen=True)
class ControlRateCost(_HasWeight):
    """weight * sum over t of ((u_t - u_{t-1}) / scale)², for plans whose controls change gently.

    The first control follows `previous_control`, where that is given. Collocation takes the changes between all of its
    controls: N-1 times their mean, each by the part of an interval that it takes. Of controls that change steadily that
    is the same sum.
    """

    weight: float = 1.0
    """May change between solves, as `name.weight`."""
    scale: Numbers = 1.0
    """Unit of change, a number or `(m,)`."""
    name: str = "control_rate_cost"


StageEntry = StageCostTerm | StageFunction | ControlRateCost
"""What may stand among the stage costs of a problem."""


def listed(field_name: str, entries: object) -> tuple[Any, ...]:
    """Return the entries of a field of a problem.

    Raises:
        OptionError: there is a single one instead of a sequence.
    """
    if not isinstance(entries, Iterable):
        raise OptionError(f"{field_name} = {entries!r}: it must be a list; write [...] around a single entry.")
    return tuple(entries)


def as_stage_costs(entries: Sequence[StageEntry]) -> tuple[StageCostTerm, ...]:
    """Return the stage costs of one knot, plain functions wrapped and named after themselves."""
    terms = [entry for entry in entries if not isinstance(entry, ControlRateCost)]
    return tuple(
        entry if isinstance(entry, StageCostTerm) else StageCost(_function(entry), name=name)
        for entry, name in _named(terms, "stage_cost")
    )


def as_terminal_costs(entries: Sequence["TerminalCost | TerminalFunction"]) -> tuple[TerminalCost, ...]:
    """Wrap plain functions as terminal costs named after them."""
    return tuple(
        entry if isinstance(entry, TerminalCost) else TerminalCost(_function(entry), name=name)
        for entry, name in _named(entries, "terminal_cost")
    )


def as_trajectory_costs(entries: Sequence["TrajectoryCost | TrajectoryFunction"]) -> tuple[TrajectoryCost, ...]:
    """Wrap plain functions as costs of the whole plan named after them."""
    return tuple(
        entry if isinstance(entry, TrajectoryCost) else TrajectoryCost(entry, name=name)
        for entry, name in _named(entries, "trajectory_cost")
    )


_NO_NAMES = ("<lambda>", "partial")

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


def _named(entries: Sequence[Entry], role: str) -> Iterator[tuple[Entry, str]]:
    """Yield entries with what they are called as plain functions: their own name, or their role and a number."""
    taken = {getattr(entry, "name", None) for entry in entries}
    free = (name for name in chain([role], (f"{role}_{i}" for i in count(2))) if name not in taken)
    for entry in entries:
        yield entry, _own_name(entry) or next(free)


def _own_name(entry: object) -> str | None:
    if isinstance(entry, casadi.Function):
        return str(entry.name())
    name = str(getattr(entry, "__name__", type(entry).__name__))
    return None if name in _NO_NAMES else name
