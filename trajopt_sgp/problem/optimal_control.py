"""The optimal control problem that every formulation transcribes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem.probing import check_constraint, check_result
from trajopt_sgp.problem.terms import (
    Constraint,
    ConstraintSource,
    Dynamics,
    Numbers,
    StageConstraint,
    StageCost,
    StageCostTerm,
    StageFunction,
    TerminalCost,
    TerminalFunction,
    as_constraints,
    as_stage_costs,
    as_terminal_costs,
    cast,
    check_names,
    parameter_dtype,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Box:
    """Lower and upper bounds of a vector, infinite where there are none.

    Raises:
        OptionError: the bounds of a coordinate cross; names it.
    """

    name: str
    """What is bounded, for messages."""
    lower: FloatArray
    """`(d,)`."""
    upper: FloatArray
    """`(d,)`."""

    def __post_init__(self) -> None:
        crossed = np.flatnonzero(self.lower > self.upper)
        if len(crossed):
            i = int(crossed[0])
            raise OptionError(
                f"{self.name}: the lower bound {self.lower[i]} of coordinate {i} is above the upper, {self.upper[i]}."
            )

    @property
    def bounded(self) -> bool:
        """Whether any bound is finite."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def middle(self) -> FloatArray:
        """Return the centre `(d,)`; where a side is infinite, the number nearest zero within the bounds."""
        closed = np.isfinite(self.lower) & np.isfinite(self.upper)
        with np.errstate(invalid="ignore"):
            return np.where(closed, 0.5 * (self.lower + self.upper), np.clip(0.0, self.lower, self.upper))

    def clip(self, values: FloatArray) -> FloatArray:
        """Return values `(..., d)` moved to the nearest point within the bounds."""
        return np.clip(values, self.lower, self.upper)


@dataclass(frozen=True, eq=False, kw_only=True)
class OptimalControlProblem:
    """Minimise the sum of stage costs and terminal costs along a discrete-time model.

        minimise    sum_{t<N} l(x_t, u_t) + l_N(x_N)
        subject to  x_{t+1} = f(x_t, u_t),  x_0 given,  t = 0..N-1
                    x_lower <= x_t <= x_upper for t = 1..N,  u_lower <= u_t <= u_upper
                    lower <= g(x_t, u_t) <= upper,  lower <= h(x_N) <= upper

    with state x in R^n, control u in R^m and horizon N. A distance to data is a stage cost among the others. Functions
    are batched over leading dimensions and written in torch: `cost(x: (..., n), u: (..., m)) -> (...)`.

    Raises:
        OptionError: horizon below 1, bounds crossed, two terms of one name, time_step not positive, no model.
        ShapeError: an array or the result of a term has the wrong shape; names it.
        NotFiniteError: NaN or infinity in the initial state, NaN in a bound.
    """

    dynamics: Dynamics
    """f: state `(..., n)`, control `(..., m)` to the next state `(..., n)`."""
    horizon: int
    """Number of intervals N."""
    initial_state: ArrayLike
    """x_0, `(n,)`."""
    stage_costs: Sequence[StageCostTerm | StageFunction] = ()
    """Summed over t = 0..N-1."""
    terminal_costs: Sequence[TerminalCost | TerminalFunction] = ()
    """Of x_N."""
    constraints: Sequence[Constraint | ConstraintSource] = ()
    """Besides the dynamics and the bounds."""
    state_bounds: tuple[Numbers, Numbers] | None = None
    """Lower and upper bounds of x_1..x_N, numbers or `(n,)`."""
    control_bounds: tuple[Numbers, Numbers] | None = None
    """Lower and upper bounds of u_0..u_{N-1}, numbers or `(m,)`."""
    time_step: float = 1.0
    """Duration of one interval [s]."""
    state_names: Sequence[str] | None = None
    """Names for messages and plots; x[0], x[1], ... if not given."""
    control_names: Sequence[str] | None = None
    """Names for messages and plots; u[0], u[1], ... if not given."""
    name: str = "problem"
    """Name for tables and plots."""

    start: FloatArray = field(init=False)
    """The initial state as an array `(n,)`."""
    state_box: Box = field(init=False)
    """The bounds of the states as arrays."""
    control_box: Box = field(init=False)
    """The bounds of the controls as arrays."""
    stage_terms: tuple[StageCostTerm, ...] = field(init=False)
    """The stage costs, plain functions wrapped."""
    terminal_terms: tuple[TerminalCost, ...] = field(init=False)
    """The terminal costs, plain functions wrapped."""
    constraint_terms: tuple[Constraint, ...] = field(init=False)
    """The constraints, distances to data turned into constraints."""
    state_labels: tuple[str, ...] = field(init=False)
    """Names of the states, given or made."""
    control_labels: tuple[str, ...] = field(init=False)
    """Names of the controls, given or made."""

    def __post_init__(self) -> None:
        if not isinstance(self.dynamics, Dynamics):
            raise OptionError(
                f"dynamics = {self.dynamics!r}: a model needs state_size, control_size and a call (x, u)."
            )
        if type(self.horizon) is not int or self.horizon < 1:
            raise OptionError(f"horizon = {self.horizon!r}: it must be a whole number of intervals, at least 1.")
        if not (math.isfinite(self.time_step) and self.time_step > 0.0):
            raise OptionError(f"time_step = {self.time_step!r}: it must be a positive number of seconds.")
        derived = {
            "start": _finite_vector("initial_state", self.initial_state, self.state_size),
            "state_box": _box("state_bounds", self.state_bounds, self.state_size),
            "control_box": _box("control_bounds", self.control_bounds, self.control_size),
            "stage_terms": as_stage_costs(self.stage_costs),
            "terminal_terms": as_terminal_costs(self.terminal_costs),
            "constraint_terms": as_constraints(self.constraints),
            "state_labels": _labels("state_names", "x", self.state_names, self.state_size),
            "control_labels": _labels("control_names", "u", self.control_names, self.control_size),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        check_names((*self.stage_terms, *self.terminal_terms, *self.constraint_terms))
        self._probe()

    @property
    def state_size(self) -> int:
        """Number of state coordinates n."""
        return int(self.dynamics.state_size)

    @property
    def control_size(self) -> int:
        """Number of control coordinates m."""
        return int(self.dynamics.control_size)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the dynamics: float64 unless they are a torch module of another type."""
        return parameter_dtype(self.dynamics)

    def replaced(self, **changes: Any) -> "OptimalControlProblem":
        """Return the same problem with some fields changed, checked anew."""
        return replace(self, **changes)

    def to(self, dtype: torch.dtype) -> "OptimalControlProblem":
        """Return the problem with every torch module in it converted to `dtype`."""
        return self.replaced(
            dynamics=cast(self.dynamics, dtype),
            stage_costs=[term.to(dtype) for term in self.stage_terms],
            terminal_costs=[term.to(dtype) for term in self.terminal_terms],
            constraints=[term.to(dtype) for term in self.constraint_terms],
        )

    def _probe(self) -> None:
        """Call every function once on copies of the initial state and the middle control, to check shapes.

        Two leading dimensions, as programs and knots in a batch of plans; the second is longer than state and control,
        so that a function that takes it for theirs is caught.
        """
        leading = (2, 1 + self.state_size + self.control_size)
        state = torch.as_tensor(np.tile(self.start, (*leading, 1)), dtype=self.dtype)
        control = torch.as_tensor(np.tile(self.control_box.middle(), (*leading, 1)), dtype=self.dtype)
        with torch.no_grad():
            check_result("dynamics", self.dynamics(state, control), leading, (self.state_size,))
            for stage in self.stage_terms:
                if isinstance(stage, StageCost):
                    check_result(f"stage cost {stage.name!r}", stage.function(state, control), leading)
            for terminal in self.terminal_terms:
                check_result(f"terminal cost {terminal.name!r}", terminal.function(state), leading)
            for constraint in self.constraint_terms:
                if isinstance(constraint, StageConstraint):
                    check_constraint(constraint, constraint.function(state, control), leading)
                else:
                    check_constraint(constraint, constraint.function(state), leading)


def _finite_vector(name: str, values: ArrayLike, size: int) -> FloatArray:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (size,):
        raise ShapeError(f"{name} has shape {vector.shape}; this problem needs ({size},).")
    if not np.isfinite(vector).all():
        raise NotFiniteError(f"{name} must be finite, not {vector}.")
    vector.setflags(write=False)
    return vector


def _box(name: str, bounds: tuple[Numbers, Numbers] | None, size: int) -> Box:
    sides = []
    for side, values in zip(("lower", "upper"), bounds or (-np.inf, np.inf), strict=True):
        array = np.array(values, dtype=np.float64)
        if array.shape not in ((), (size,)):
            raise ShapeError(f"{name}: the {side} bound has shape {array.shape}; give a number or ({size},).")
        if np.isnan(array).any():
            raise NotFiniteError(f"{name}: the {side} bound holds NaN; use infinity for no bound.")
        sides.append(np.broadcast_to(array, (size,)))
    return Box(name, sides[0], sides[1])


def _labels(field_name: str, letter: str, names: Sequence[str] | None, size: int) -> tuple[str, ...]:
    labels = tuple(names) if names is not None else tuple(f"{letter}[{i}]" for i in range(size))
    if len(labels) != size:
        raise ShapeError(f"{field_name} lists {len(labels)} names; this problem needs {size}.")
    return labels
