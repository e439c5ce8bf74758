"""Checks of what the functions of a problem return, made once when the problem is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import casadi
import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError, TrajoptError
from trajopt_sgp.problem.casadi_function import CasadiFunction
from trajopt_sgp.problem.constraints import Constraint, StageConstraint
from trajopt_sgp.problem.control_use import uses_control, uses_input
from trajopt_sgp.problem.dynamics import parameter_names
from trajopt_sgp.problem.parameters import Parameters
from trajopt_sgp.problem.terms import FunctionTerm, LeastSquaresCost, StageCost, StageCostTerm

if TYPE_CHECKING:
    from trajopt_sgp.problem.optimal_control import OptimalControlProblem

Leading = tuple[int, ...]

# Functions of so many numbers are dear: two programs of two thousand pictures would take minutes and gigabytes.
_LONGEST = 256
_SHORT = 5
# how far apart points are that differ, relative to 1 and their size
_SPREAD = 0.1
# what rounding may change, in single precision too
_SAME = 1e-4
# how many controls are tried, and how far from the middle where they have no bounds
_DRAWS, _FAR = 16, 100.0


@dataclass(frozen=True)
class _Trial:
    """A call of one function of a problem."""

    what: str
    """The function, for messages."""
    function: Callable[..., Tensor]
    """Of the points."""
    points: tuple[Tensor, ...]
    """States and controls, or whatever else it takes."""
    check: Callable[[object], object]
    """Of the result."""

    def call(self) -> Tensor:
        """Return the result.

        Raises:
            OptionError: the function raised something; names it and says what it was called with.
        """
        try:
            return self.function(*self.points)
        except TrajoptError:
            raise
        # a user's function may raise anything, and whatever it is comes out as the cause of an error that names it
        except Exception as error:
            shapes = ", ".join(str(tuple(point.shape)) for point in self.points)
            dtype = str(self.points[0].dtype).removeprefix("torch.")
            reason = str(error).strip().partition("\n")[0]
            raise OptionError(
                f"The {self.what} could not be computed for arguments {shapes} of {dtype}: {type(error).__name__}: "
                f"{reason}. It is called with batches: write it in torch operations on the last dimension, and bring "
                "tensors of its own to the type of its arguments, as by matrix.to(x)."
            ) from error


def probe(problem: OptimalControlProblem) -> None:
    """Call every function once on copies of the initial state and the middle control, to check shapes.

    Two leading dimensions, as programs and knots in a batch of plans; the second is longer than state and control, so
    that a function that takes it for theirs is caught; or, where those are pictures, another length than theirs.

    Raises:
        ShapeError, NotFiniteError, OptionError: names the function, or the parameter it asks for that does not exist.
    """
    check_parameter_names(problem)
    with torch.no_grad():
        for trial in _trials(problem, needs_value=False, spread=0.0):
            trial.check(trial.call())


def check_differentiable(problem: OptimalControlProblem, needs_value: bool) -> None:
    """Check that every function can be differentiated by torch, for solvers that follow derivatives.

    Args:
        problem: in the precision of the solver.
        needs_value: whether the solver compares values.

    Raises:
        OptionError: a function cannot be computed in this precision or with gradients, changes with its arguments and
            hides that from torch, or looks at the whole batch; names it.
    """
    for trial in _trials(problem, needs_value, _SPREAD):
        _check_alone(trial)
        with torch.enable_grad():
            for point in trial.points:
                point.requires_grad_(True)
            result = trial.call()
        if not result.requires_grad and (result != result[:1, :1])[torch.isfinite(result)].any():
            raise OptionError(
                f"The {trial.what} changes with its arguments, but gives torch no gradient: is there detach(), "
                "numpy(), item() or a comparison in it? Write it in torch operations, or take CEM or MPPI, which need "
                "no derivatives."
            )


@torch.no_grad()
def _check_alone(trial: _Trial) -> None:
    """Check that a function computes a row of a batch whatever the others are."""
    first = trial.call()[0]
    for point in trial.points:
        point[1:] += _SPREAD * (1.0 + point[1:].abs())
    again = trial.call()[0]
    if not torch.allclose(first, again, rtol=_SAME, atol=_SAME, equal_nan=True):
        raise OptionError(
            f"The {trial.what} gives other values for the same arguments, by chance or where the rest of the batch "
            "differs: is a dropout or a batch normalisation in training? Call eval() on models before planning, and "
            "index and reduce the last dimension only."
        )


def depends_on_control(problem: OptimalControlProblem, constraint: StageConstraint) -> bool:
    """Return whether the rows of a constraint may change with the control, be it elsewhere or for other parameters.

    A next state always does. Where the function is compiled, so that it cannot be followed, draws within the bounds of
    the control tell.
    """
    if constraint.next_state:
        return True
    if isinstance(constraint.function, casadi.Function | CasadiFunction):
        return uses_input(constraint.function, 1)
    leading = _DRAWS, _leading(problem)[1]
    state, middle = _points(problem, leading, _SPREAD)
    box, reach = problem.control_box, _FAR * (1.0 + np.abs(problem.control_box.middle()))
    lower, upper = np.maximum(box.lower, box.middle() - reach), np.minimum(box.upper, box.middle() + reach)
    drawn = np.random.default_rng(0).uniform(lower, upper, (*leading, problem.control_size))
    rows = partial(constraint.evaluate, parameters=problem.values().local(np.zeros(leading[1])))
    with torch.no_grad():
        pair = [rows(state, control) for control in (middle, torch.tensor(drawn, dtype=problem.dtype))]
    return not torch.equal(*(torch.nan_to_num(values) for values in pair)) or uses_control(rows, state, middle)


def _trials(problem: OptimalControlProblem, needs_value: bool, spread: float) -> Iterator[_Trial]:
    leading = _leading(problem)
    state, control = _points(problem, leading, spread)
    parameters = problem.values().local(np.zeros(leading[1]))
    if problem.dynamics is not None:
        extra = [parameters.values[name] for name in parameter_names(problem.dynamics)]
        size = (problem.state_size,)
        yield _Trial(
            "dynamics",
            lambda x, u: problem.dynamics(x, u, *extra),  # type: ignore[misc]
            (state, control),
            lambda result: check_result("dynamics", result, leading, size),
        )
    for stage in problem.stage_terms:
        yield _stage_trial(stage, needs_value, state, control, parameters, leading)
    for terminal in problem.terminal_terms:
        yield _cost_trial(f"terminal cost {terminal.name!r}", terminal, (state,), parameters, leading)
    for whole in problem.trajectory_terms:
        plans = tuple(
            values.unsqueeze(-2).expand(*leading, count, -1).clone()
            for values, count in ((state, problem.horizon + 1), (control, problem.horizon))
        )
        yield _cost_trial(f"trajectory cost {whole.name!r}", whole, plans, problem.values(), leading)
    for constraint in problem.constraint_terms:
        yield _Trial(
            f"constraint {constraint.name!r}",
            partial(constraint.evaluate, parameters=parameters),
            constraint.arguments(state, control),
            partial(check_constraint, constraint, leading=leading),
        )


def _stage_trial(
    stage: StageCostTerm, needs_value: bool, state: Tensor, control: Tensor, parameters: Parameters, leading: Leading
) -> _Trial:
    if isinstance(stage, LeastSquaresCost):
        what = f"residual {stage.name!r}"
        function = partial(stage.evaluate, parameters=parameters)
        return _Trial(what, function, (state, control), lambda result: check_rows(what, result, leading))
    what = f"stage cost {stage.name!r}"
    if isinstance(stage, StageCost):
        points = (state, control, state.clone()) if stage.next_state else (state, control)
        return _cost_trial(what, stage, points, parameters, leading)
    last = torch.cat([control, state], dim=-1) if stage.next_state else control
    face = stage.face(needs_value).function
    return _Trial(
        what,
        lambda x, u: face(x, u, parameters),
        (state, last),
        lambda result: check_result(what, result, leading),
    )


def _cost_trial(
    what: str, term: FunctionTerm, points: tuple[Tensor, ...], parameters: Parameters, leading: Leading
) -> _Trial:
    function = partial(term.evaluate, parameters=parameters)
    return _Trial(what, function, points, lambda result: check_result(what, result, leading))


def _leading(problem: OptimalControlProblem) -> Leading:
    sizes = problem.state_size, problem.control_size
    return 2, 1 + sum(sizes) if sum(sizes) < _LONGEST else _other_length(sizes)


def _points(problem: OptimalControlProblem, leading: Leading, spread: float) -> tuple[Tensor, Tensor]:
    """Return states `(*leading, n)` and controls `(*leading, m)`, each moved by another share of a spread."""
    shares = np.random.default_rng(0).uniform(-spread, spread, (*leading, 1))
    state, control = (
        torch.tensor(values + shares * (1.0 + np.abs(values)), dtype=problem.dtype)
        for values in (problem.start, problem.control_box.middle())
    )
    return state, control


def _other_length(sizes: tuple[int, int]) -> int:
    """Return a small length that is neither of two sizes."""
    return next(length for length in range(_SHORT, _SHORT + 3) if length not in sizes)


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


def count_rows(problem: OptimalControlProblem, constraint: Constraint) -> int:
    """Return the number of rows r of a constraint at one knot."""
    state = torch.tensor(problem.start[None], dtype=problem.dtype)
    control = torch.tensor(problem.control_box.middle()[None], dtype=problem.dtype)
    parameters = problem.values().local(np.zeros(1))
    with torch.no_grad():
        rows = constraint.evaluate(*constraint.arguments(state, control), parameters=parameters)
    return int(rows.shape[-1])


def check_result(what: str, result: object, leading: Leading, size: tuple[int, ...] = ()) -> None:
    """Check that a function called with these leading dimensions kept them, and returned `(*leading, *size)`.

    Raises:
        ShapeError: names the function, what it returned and what it must return.
    """
    if not isinstance(result, Tensor):
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
    if not isinstance(rows, Tensor) or rows.shape[:-1] != leading:
        returned = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise ShapeError(
            f"The {what} returned {returned} for leading dimensions {leading}; it must return rows (..., r)."
        )
    return int(rows.shape[-1])


def check_constraint(constraint: Constraint, rows: object, leading: Leading) -> None:
    """Check rows and bounds of a constraint called with these leading dimensions.

    Raises:
        ShapeError: the function does not return rows `(..., r)`, or its bounds do not fit them.
        NotFiniteError: a bound is NaN.
        OptionError: a lower bound is above its upper bound, or no bound is finite.
    """
    what = f"constraint {constraint.name!r}"
    lower, upper = constraint_bounds(constraint, check_rows(what, rows, leading))
    if np.isnan(lower).any() or np.isnan(upper).any():
        raise NotFiniteError(f"The bounds of {what} hold NaN; use infinity for no bound.")
    if not (np.isfinite(lower) | np.isfinite(upper)).any():
        raise OptionError(f"The {what} has no bounds: give lower=, upper=, or both.")
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
