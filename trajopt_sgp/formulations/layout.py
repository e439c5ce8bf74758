"""Where the states and controls of a plan stand among the decision variables, and where functions are evaluated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations.scaling import control_scale, state_scale
from trajopt_sgp.problem import BoundaryConstraint, Constraint, OptimalControlProblem, StageConstraint, Trajectory


@dataclass(frozen=True, eq=False)
class Places:
    """Places along the plan at which a function is evaluated, and the variables that it takes there."""

    parts: tuple[IntArray, ...]
    """Of each argument, `(K, size)`."""
    position: FloatArray
    """Counted in intervals, `(K,)`."""
    weight: FloatArray | None = None
    """What each counts in a sum, `(K,)`; once if not given."""
    labels: tuple[str, ...] = ()
    """What tells the places of one interval apart, K of them; none where that is not needed."""

    @property
    def index(self) -> IntArray:
        """The variables of all arguments, side by side, `(K, d)`."""
        return np.hstack(self.parts)

    @property
    def sizes(self) -> list[int]:
        """Number of variables of each argument; their sum is d."""
        return [part.shape[1] for part in self.parts]


@dataclass(frozen=True, eq=False)
class Points:
    """Places along the plan at which a function of state and control is evaluated."""

    states: IntArray
    """Decision variables, `(K, n)`."""
    controls: IntArray
    """Decision variables, `(K, m)`."""
    position: FloatArray
    """Place counted in intervals, `(K,)`: 3.5 is the middle of interval 3."""
    weight: FloatArray
    """Quadrature weight for the mean over each interval, summed over the intervals, `(K,)`."""
    share: FloatArray
    """Quadrature weight for the integral over the whole plan as a share of its duration, `(K,)`."""

    @property
    def knots(self) -> IntArray:
        """The last knot before or at each place, `(K,)`."""
        return np.floor(self.position + 1e-9).astype(np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """What tells the places of one interval apart: nothing at a knot, else the fraction that has passed."""
        fractions = self.position - self.knots
        return tuple(f"+{f:.3g}" if f > 1e-9 else "" for f in fractions)

    @property
    def places(self) -> Places:
        """Where a function of state and control is evaluated."""
        return Places((self.states, self.controls), self.position, self.weight, self.labels)

    def later(self) -> "Points":
        """Return the places after the beginning of the plan."""
        chosen = self.position > 0.0
        return Points(*(getattr(self, part.name)[chosen] for part in fields(self)))


@dataclass(frozen=True, eq=False)
class Layout:
    """The decision variables of a transcription: for each interval its states, then its controls.

    States and controls are found by the fraction of the interval at which they are; those at the end of an interval are
    those at the beginning of the next one.
    """

    problem: OptimalControlProblem
    """Whose variables they are."""
    states: Mapping[float, IntArray]
    """By fraction, `(N, n)` each; 0 and 1 are always there."""
    controls: Mapping[float, IntArray]
    """By fraction, `(N, m)` each."""
    size: int
    """Number of variables, the duration included."""
    duration: int | None
    """The variable that is the duration of the plan, where that is free."""

    @classmethod
    def of(
        cls, problem: OptimalControlProblem, states: Sequence[float], controls: Sequence[float], last_control: bool
    ) -> "Layout":
        """Place states at the knots and at the fractions `states`, controls at the fractions `controls`.

        With `last_control`, which needs 0 among the controls, the last knot has a control too.
        """
        n, m, horizon = problem.state_size, problem.control_size, problem.horizon
        inner, moves = [0.0, *states], _first_of_blocks(problem, list(controls) == [0.0] and not last_control)
        new = moves == np.arange(horizon)
        sizes = len(inner) * n + new * len(controls) * m
        base = np.concatenate([[0], np.cumsum(sizes)])[:, None]
        state_at = {f: base[:-1] + i * n + np.arange(n) for i, f in enumerate(inner)}
        state_at[1.0] = base[1:] + np.arange(n)
        control_at = {f: base[moves] + len(inner) * n + i * m + np.arange(m) for i, f in enumerate(controls)}
        size = int(base[-1, 0]) + n
        if last_control:
            control_at[1.0] = np.vstack([control_at[0.0][1:], size + np.arange(m)])
            size += m
        duration = size if problem.grid.free else None
        return cls(problem, state_at, control_at, size + problem.grid.free, duration)

    @property
    def knot_states(self) -> IntArray:
        """The states at the knots, `(N+1, n)`."""
        return np.vstack([self.states[0.0], self.states[1.0][-1:]])

    @property
    def first_controls(self) -> IntArray:
        """The first control of each interval, `(N, m)`."""
        return self.controls[min(self.controls)]

    def scale(self) -> FloatArray:
        """Return the unit of every variable `(size,)`."""
        units = np.ones(self.size)
        for index in self.states.values():
            units[index] = state_scale(self.problem)
        for index in self.controls.values():
            units[index] = control_scale(self.problem)
        if self.duration is not None:
            units[self.duration] = self.problem.grid.duration
        return units

    def bounds(self, initial_state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the variables, `(..., size)` for initial states `(..., n)`.

        States that are given at the ends are held by their bounds.
        """
        problem, grid, sides = self.problem, self.problem.grid, []
        for side in (0, 1):
            bound = np.full((*np.shape(initial_state)[:-1], self.size), (-np.inf, np.inf)[side])
            box, controls = ((b.lower, b.upper)[side] for b in (problem.state_box, problem.control_box))
            for index in self.states.values():
                bound[..., index] = box
            for index in self.controls.values():
                bound[..., index] = controls
            bound[..., self.states[0.0][0]] = problem.initial.bounds(problem.state_box, initial_state)[side]
            bound[..., self.states[1.0][-1]] = problem.final.bounds(problem.state_box)[side]
            if self.duration is not None and grid.limits is not None:
                bound[..., self.duration] = (grid.limits.lower, grid.limits.upper)[side]
            sides.append(bound)
        return sides[0], sides[1]

    def pack(self, trajectory: Trajectory) -> FloatArray:
        """Return the variables `(..., size)` of a trajectory, in the units of the problem."""
        values, mesh = np.zeros((*trajectory.controls.shape[:-2], self.size)), self.problem.grid.mesh
        # from the end of each interval to its beginning: a control shared by two belongs to the later one
        for fraction, index in sorted(self.controls.items(), reverse=True):
            controls = trajectory.at_fraction(fraction, mesh)[1]
            # of intervals that share a control the first is written last
            values[..., index[::-1]] = controls[..., ::-1, :]
        for fraction, index in self.states.items():
            if 0.0 < fraction < 1.0:
                values[..., index] = trajectory.at_fraction(fraction, mesh)[0]
        values[..., self.knot_states] = trajectory.states_at(mesh)
        if self.duration is not None:
            values[..., self.duration] = trajectory.duration
        return values

    def duration_of(self, values: FloatArray) -> float:
        """Return the duration of the plan [s] that variables `(size,)` in the units of the problem make up."""
        return self.problem.grid.duration if self.duration is None else float(values[self.duration])

    def duration_from(self, rest: Tensor) -> Tensor:
        """Return the duration of the plan [s] from the variables `(..., 0 or 1)` that hold it."""
        if self.duration is None:
            return torch.as_tensor(self.problem.grid.duration, dtype=rest.dtype)
        return rest[..., 0]

    def with_duration(self, *parts: IntArray) -> IntArray:
        """Return an index map of parts `(K, ...)` followed by the duration, where that is a variable."""
        held = [] if self.duration is None else [np.full((len(parts[0]), 1), self.duration)]
        return np.hstack([*parts, *held])

    def transitions(self) -> Places:
        """Return where a function of state, control and next state is evaluated: at the knots 0..N-1."""
        parts = self.states[0.0], self.first_controls, self.states[1.0]
        return Places(parts, np.arange(self.problem.horizon, dtype=np.float64))

    def places(self, constraint: Constraint, points: Points) -> Places:
        """Return where a constraint is evaluated, one of a stage at some points, and which variables it takes there."""
        if isinstance(constraint, StageConstraint):
            if constraint.next_state:
                return self.transitions()
            return points.later().places if constraint.after_start else points.places
        first, last = self.states[0.0][:1], self.states[1.0][-1:]
        parts = (first, last) if isinstance(constraint, BoundaryConstraint) else (last,)
        return Places(parts, np.array([float(self.problem.horizon)]))

    def points(self, weights: Mapping[float, float]) -> Points:
        """Return the places at some fractions of every interval, each once, with quadrature weights that sum to one."""
        fractions = np.array(list(weights))
        position = np.add.outer(np.arange(self.problem.horizon), fractions).ravel()
        places = len(position)
        states = np.stack([self.states[f] for f in weights], axis=1).reshape(places, self.problem.state_size)
        controls = np.stack([self.controls[f] for f in weights], axis=1).reshape(places, self.problem.control_size)
        share = np.multiply.outer(self.problem.grid.shares, list(weights.values())).ravel()
        _, first, place = np.unique(np.round(position, 9), return_index=True, return_inverse=True)
        weight = _floats(np.bincount(place, np.tile(list(weights.values()), self.problem.horizon)))
        return Points(states[first], controls[first], position[first], weight, _floats(np.bincount(place, share)))

    def control_sequence(self) -> tuple[IntArray, FloatArray]:
        """Return all controls in order of time `(k, m)`, and when they are as shares of the duration `(k,)`."""
        mesh, shares = self.problem.grid.mesh, self.problem.grid.shares
        times = np.concatenate([mesh[:-1] + f * shares for f in self.controls])
        index = np.vstack(list(self.controls.values()))
        order = np.argsort(times, kind="stable")
        _, first = np.unique(index[order, 0], return_index=True)
        chosen = order[np.sort(first)]
        return index[chosen], times[chosen]


def _first_of_blocks(problem: OptimalControlProblem, held: bool) -> IntArray:
    """Return the interval whose control each interval has, `(N,)`."""
    intervals = np.arange(problem.horizon)
    if problem.move_blocks is None:
        return intervals
    if not held:
        raise IncompatibleError(
            "move_blocks needs a formulation that holds controls over each interval: SingleShooting, MultipleShooting, "
            "DirectTranscription or ScoreTranscription."
        )
    ends = np.cumsum(problem.move_blocks)
    return np.concatenate([[0], ends[:-1]])[np.searchsorted(ends, intervals, side="right")]


def _floats(values: NDArray[np.generic]) -> FloatArray:
    return values.astype(np.float64)
