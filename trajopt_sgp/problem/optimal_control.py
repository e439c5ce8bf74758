"""The optimal control problem that every formulation transcribes."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem.boundary import (
    Boundary,
    Box,
    make_boundary,
    make_box,
    make_labels,
    make_scale,
    make_unit,
    split_bounds,
)
from trajopt_sgp.problem.constraints import Constraint, ConstraintEntry, ControlRateLimit, as_constraints
from trajopt_sgp.problem.dynamics import ContinuousDynamics, Dynamics, is_continuous, own_names, own_time_step
from trajopt_sgp.problem.parameters import Parameters, ParameterValue, finite_number, parameter_tensors
from trajopt_sgp.problem.precision import cast, coarsest_dtype, parameter_dtype
from trajopt_sgp.problem.probing import probe
from trajopt_sgp.problem.terms import (
    ControlRateCost,
    Numbers,
    StageCostTerm,
    StageEntry,
    TerminalCost,
    TerminalFunction,
    TrajectoryCost,
    TrajectoryFunction,
    as_stage_costs,
    as_terminal_costs,
    as_trajectory_costs,
    check_names,
    listed,
)
from trajopt_sgp.problem.time_grid import FreeTime, TimeGrid, make_horizon, make_move_blocks, make_time_grid

Bounds = tuple[Numbers | None, Numbers | None] | FloatArray
"""A pair of lower and upper bounds, numbers or `(d,)`, or an array `(2, d)`; None on a side without."""

_LISTS = ("stage_costs", "terminal_costs", "trajectory_costs", "constraints")
_ARRAYS = (
    *("initial_state", "final_state", "state_bounds", "control_bounds", "mesh", "parameters", "move_blocks"),
    *("previous_control", "state_scale", "control_scale"),
)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class OptimalControlProblem:
    """Minimise stage costs and terminal costs along a model of motion.

        minimise    sum_{t<N} l(x_t, u_t) + integral of r(x, u) dt + l_N(x_N) + L(x_0..x_N, u_0..u_{N-1})
        subject to  x_{t+1} = f(x_t, u_t)   or   dx/dt = f(x, u), discretised by the formulation
                    x_0 given, or some of it; x_N given, or some of it, or free
                    x_lower <= x_t <= x_upper for t = 1..N,  u_lower <= u_t <= u_upper
                    lower <= g(x_t, u_t) <= upper,  lower <= h(x_N) <= upper,  lower <= b(x_0, x_N) <= upper

    with state x in R^n, control u in R^m and horizon N. A distance to data is a stage cost among the others, or a
    constraint. Functions are batched over leading dimensions and written in torch, `cost(x: (..., n), u: (..., m)) ->
    (...)`, or in CasADi on column vectors; with `parameters=("goal",)` they receive the value of that parameter too.
    Arrays are copied: what becomes of the caller's changes nothing here.

    Raises:
        OptionError: horizon below 1, bounds crossed, two terms, states or controls of one name, a duration or unit not
            positive, no model, an unknown name of a state or parameter, a reserved name, a final state outside its
            bounds, something that is none of the valid forms.
        ShapeError: an array or the result of a term has the wrong shape; names it.
        NotFiniteError: NaN or infinity in a state or parameter, NaN in a bound.
    """

    dynamics: Dynamics | ContinuousDynamics | None
    """f: state `(..., n)`, control `(..., m)` to the next state, or to its rate with `ContinuousDynamics`. None for
    formulations that need no model; then `state_names` and `control_names`, or bounds, tell the sizes."""
    horizon: int
    """Number of intervals N."""
    initial_state: ArrayLike | Mapping[str, float] | None
    """x_0, `(n,)`; a mapping from names of states holds some of them; None holds none."""
    final_state: ArrayLike | Mapping[str, float] | None = None
    """x_N, in the same forms."""
    stage_costs: Sequence[StageEntry] = ()
    """Summed over t = 0..N-1, or integrated."""
    terminal_costs: Sequence[TerminalCost | TerminalFunction] = ()
    """Of x_N."""
    trajectory_costs: Sequence[TrajectoryCost | TrajectoryFunction] = ()
    """Of the whole plan, for `SingleShooting` and `MultipleShooting` alone."""
    constraints: Sequence[ConstraintEntry] = ()
    """Besides the dynamics, the bounds and the ends."""
    state_bounds: Bounds | None = None
    """Lower and upper bounds of x_1..x_N, numbers or `(n,)`; of x_0 too where it is free."""
    control_bounds: Bounds | None = None
    """Lower and upper bounds of u_0..u_{N-1}, numbers or `(m,)`."""
    time_step: float | None = None
    """Mean duration of an interval [s]; default that of the model, where it has an attribute `time_step` as those of
    the environments have, and a learned one whose data tell, else 1. Give this or `duration`."""
    duration: float | FreeTime | None = None
    """Duration of the whole plan [s], or `FreeTime` to let the solver choose it."""
    mesh: ArrayLike | None = None
    """Where the knots are, as shares of the duration, `(N+1,)` from 0 to 1; equal intervals if not given."""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    """Values that functions receive by name and that may change between solves without building anything anew."""
    move_blocks: Sequence[int] | None = None
    """Numbers of intervals over each of which one control is held, N in all; every interval has its own if not given.
    Fewer controls far ahead make a receding horizon cheaper. Only for formulations that hold controls anyway."""
    previous_control: ArrayLike | None = None
    """The control `(m,)` applied before the first; limits and costs of the rate of change then refer to it."""
    state_scale: Numbers | None = None
    """Units in which states are of order one, a number or `(n,)`; chosen from data or bounds if not given."""
    control_scale: Numbers | None = None
    """Units in which controls are of order one, a number or `(m,)`; chosen from bounds or data if not given."""
    state_names: Sequence[str] | None = None
    """Names for messages, plots and mappings; those of the model or of its data if not given, else x[0], x[1], ..."""
    control_names: Sequence[str] | None = None
    """Names for messages and plots; those of the model or of its data if not given, else u[0], u[1], ..."""
    name: str = "problem"
    """Name for tables and plots."""

    state_size: int = field(init=False)
    """Number of state coordinates n."""
    control_size: int = field(init=False)
    """Number of control coordinates m."""
    initial: Boundary = field(init=False)
    """What is known of x_0."""
    final: Boundary = field(init=False)
    """What is known of x_N."""
    state_box: Box = field(init=False)
    """The bounds of the states as arrays."""
    control_box: Box = field(init=False)
    """The bounds of the controls as arrays."""
    grid: TimeGrid = field(init=False)
    """Durations of the intervals."""
    stage_terms: tuple[StageCostTerm, ...] = field(init=False)
    """The stage costs of one knot, plain functions wrapped."""
    terminal_terms: tuple[TerminalCost, ...] = field(init=False)
    """The terminal costs, plain functions wrapped."""
    trajectory_terms: tuple[TrajectoryCost, ...] = field(init=False)
    """The costs of the whole plan, plain functions wrapped."""
    constraint_terms: tuple[Constraint, ...] = field(init=False)
    """The constraints on functions, distances to data turned into constraints."""
    rate_costs: tuple[ControlRateCost, ...] = field(init=False)
    """The costs of changing controls."""
    rate_limits: tuple[ControlRateLimit, ...] = field(init=False)
    """The limits of the rate of change of controls."""
    state_labels: tuple[str, ...] = field(init=False)
    """Names of the states, given or made."""
    control_labels: tuple[str, ...] = field(init=False)
    """Names of the controls, given or made."""

    def __post_init__(self) -> None:
        if not (self.dynamics is None or isinstance(self.dynamics, Dynamics)):
            raise OptionError(
                f"dynamics = {self.dynamics!r}: a model needs state_size, control_size and a call (x, u)."
            )
        self._derive(horizon=make_horizon(self.horizon))
        self._derive(**{name: listed(name, getattr(self, name)) for name in _LISTS})
        self._derive(**{name: copy.deepcopy(getattr(self, name)) for name in _ARRAYS})
        self._derive(state_size=self._size("state"), control_size=self._size("control"))
        self._derive(
            state_labels=make_labels("state_names", "x", self._names("state"), self.state_size),
            control_labels=make_labels("control_names", "u", self._names("control"), self.control_size),
            grid=make_time_grid(self.horizon, self.time_step, self.duration, self.mesh, own_time_step(self.dynamics)),
            stage_terms=as_stage_costs(self.stage_costs),
            terminal_terms=as_terminal_costs(self.terminal_costs),
            trajectory_terms=as_trajectory_costs(self.trajectory_costs),
            constraint_terms=as_constraints(self.constraints),
            rate_costs=tuple(entry for entry in self.stage_costs if isinstance(entry, ControlRateCost)),
            rate_limits=tuple(entry for entry in self.constraints if isinstance(entry, ControlRateLimit)),
        )
        self._derive(
            state_box=make_box("state_bounds", self.state_bounds, self.state_labels),
            control_box=make_box("control_bounds", self.control_bounds, self.control_labels),
        )
        self._derive(
            initial=make_boundary("initial_state", self.initial_state, self.state_labels, self.state_box),
            final=make_boundary("final_state", self.final_state, self.state_labels, self.state_box),
        )
        self.final.check_within("final_state", self.state_box)
        self._check_options()
        check_names((*self._costs, *self.constraint_terms, *self.rate_limits))
        probe(self)

    def __repr__(self) -> str:
        costs = [term.name for term in self._costs]
        constraints = [term.name for term in (*self.constraint_terms, *self.rate_limits)]
        return (
            f"OptimalControlProblem({self.name!r}, horizon={self.horizon}, {self.state_size} states, "
            f"{self.control_size} controls, costs={costs}, constraints={constraints})"
        )

    @property
    def start(self) -> FloatArray:
        """The initial state `(n,)`, with the middle of the bounds where it is free."""
        return self.initial.values

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the dynamics: float64 unless they are a torch module of another type."""
        return parameter_dtype(self.dynamics)

    @property
    def coarsest_dtype(self) -> torch.dtype:
        """The least precise floating-point type of its dynamics, costs and constraints: what tolerances can ask for."""
        return coarsest_dtype(self.dynamics, *self._costs, *self.constraint_terms)

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the weights and noise levels that may change between solves, as `term.weight`."""
        return tuple(name for term in self._costs for name in term.numbers)

    def values(
        self,
        initial_state: ArrayLike | None = None,
        changes: Mapping[str, Any] | None = None,
        progress: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> Parameters:
        """Return what a built program leaves open, with some parameters, weights or noise levels changed.

        Args:
            initial_state: another x_0, `(n,)` or `(P, n)`.
            changes: by name of a parameter, by `term.weight` or `term.sigma`, or `previous_control`.
            progress: place on annealing schedules.
            dtype: floating-point type; that of the dynamics if not given.

        Raises:
            OptionError: an unknown name; lists the valid ones. Or a weight or noise level that is not finite.
        """
        kind, rest = dtype or self.dtype, dict(changes or {})
        numbers = {}
        for term in self._costs:
            for name in set(getattr(term, "numbers", ())) & set(rest):
                numbers[name] = finite_number(name, rest.pop(name))
                term.check_number(name, numbers[name])
        previous = rest.pop("previous_control", self.previous_control)
        unknown = sorted(set(rest) - set(self.parameters))
        if unknown:
            valid = [*self.parameters, *self.number_names, "previous_control"]
            raise OptionError(f"Unknown parameter {unknown[0]!r}; choose from {', '.join(valid)}.")
        return Parameters(
            initial_state=torch.tensor(np.array(self.start if initial_state is None else initial_state), dtype=kind),
            progress=progress,
            values=parameter_tensors(self.parameters, rest, self.horizon, kind),
            numbers=numbers,
            previous_control=None
            if previous is None
            else torch.tensor(make_scale("previous_control", previous, self.control_size), dtype=kind),
        )

    def replaced(self, **changes: Any) -> "OptimalControlProblem":
        """Return the same problem with some fields changed, checked anew.

        Raises:
            OptionError: a name that is no field; lists those that are.
        """
        known = [field.name for field in fields(self) if field.init]
        if unknown := sorted(set(changes) - set(known)):
            raise OptionError(f"A problem has no {unknown[0]!r}; choose from {', '.join(known)}.")
        return replace(self, **changes)

    def to(self, dtype: torch.dtype) -> "OptimalControlProblem":
        """Return the problem with every torch module in it converted to `dtype`."""
        return self.replaced(
            dynamics=cast(self.dynamics, dtype),
            stage_costs=[*(term.to(dtype) for term in self.stage_terms), *self.rate_costs],
            terminal_costs=[term.to(dtype) for term in self.terminal_terms],
            trajectory_costs=[term.to(dtype) for term in self.trajectory_terms],
            constraints=[*(term.to(dtype) for term in self.constraint_terms), *self.rate_limits],
        )

    @property
    def _costs(self) -> tuple[Any, ...]:
        return *self.stage_terms, *self.terminal_terms, *self.trajectory_terms, *self.rate_costs

    def _check_options(self) -> None:
        if self.move_blocks is not None:
            self._derive(move_blocks=make_move_blocks(self.move_blocks, self.horizon))
        if self.previous_control is not None:
            make_scale("previous_control", self.previous_control, self.control_size)
        for limit in self.rate_limits:
            limit.bounds(self.control_size)
        for name, size in (("state_scale", self.state_size), ("control_scale", self.control_size)):
            if getattr(self, name) is not None:
                make_unit(name, getattr(self, name), size)
        if self.grid.free and not is_continuous(self.dynamics):
            raise OptionError(
                "duration: a discrete-time model has a time step of its own; FreeTime needs dx/dt = f(x, u)."
            )

    def _derive(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _names(self, kind: Literal["state", "control"]) -> Sequence[str] | None:
        """Return the names given, or those of the model."""
        given: Sequence[str] | None = getattr(self, f"{kind}_names")
        return own_names(self.dynamics, kind, getattr(self, f"{kind}_size")) if given is None else given

    def _size(self, kind: str) -> int:
        if self.dynamics is not None:
            return int(getattr(self.dynamics, f"{kind}_size"))
        names = getattr(self, f"{kind}_names")
        sides = split_bounds(f"{kind}_bounds", getattr(self, f"{kind}_bounds"))
        vectors = [names] if names is not None else [side for side in sides if np.ndim(side) == 1]
        if not vectors:
            raise OptionError(
                f"Without dynamics, give {kind}_names or bounds as vectors to tell the number of {kind}s."
            )
        return len(vectors[0])
