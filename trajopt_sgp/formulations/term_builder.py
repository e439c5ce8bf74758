"""From the terms of a problem to the stage terms of a nonlinear program."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.localized import Localized
from trajopt_sgp.derivatives.stage_term import LinearPart, Parameters, StageTerm, TermFunction
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.layout import Layout, Points
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.scaling import row_scale
from trajopt_sgp.problem import (
    BoundaryConstraint,
    Constraint,
    ControlRateCost,
    ControlRateLimit,
    Face,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    TerminalCost,
    TrajectoryCost,
)
from trajopt_sgp.problem.boundary import make_unit
from trajopt_sgp.problem.probing import constraint_bounds, count_rows
from trajopt_sgp.problem.terms import FaceFunction, StageCostTerm

IntegralRule = Callable[[StageCostTerm, Face], StageTerm]
"""How a formulation integrates a running cost over its intervals."""


@dataclass
class TermBuilder:
    """Collects the stage terms of a program on a layout, and the slack variables that soft constraints add to it."""

    problem: OptimalControlProblem
    """What is transcribed."""
    layout: Layout
    """Where its variables are."""
    points: Points
    """Where stage costs and stage constraints are evaluated."""
    needs_value: bool
    """Which face of the distances to data is meant."""
    costs: list[StageTerm] = field(default_factory=list)
    """Made so far."""
    constraints: list[StageTerm] = field(default_factory=list)
    """Made so far."""
    scale: FloatArray = field(init=False)
    """Units of the variables, slack included."""
    slack: list[int] = field(default_factory=list)
    """Variables that must not be negative."""

    def __post_init__(self) -> None:
        self.scale = self.layout.scale()

    def add_costs(self, integral: IntegralRule | None = None, shooting: bool = False) -> None:
        """Add all costs; `integral` replaces the quadrature of integrals by points.

        Raises:
            IncompatibleError: there is a cost of the whole plan, and this is not `shooting`.
        """
        if self.problem.trajectory_terms and not shooting:
            name = self.problem.trajectory_terms[0].name
            raise IncompatibleError(
                f"The cost {name!r} is a function of the whole plan, which would make every derivative of this "
                "formulation dense; use SingleShooting or MultipleShooting."
            )
        for term in self.problem.stage_terms:
            face = term.face(self.needs_value)
            if term.integral and integral is not None:
                self.costs.append(integral(term, face))
            else:
                self.costs.append(self._stage_cost(term, face))
        self.costs += [self._terminal_cost(term) for term in self.problem.terminal_terms]
        self.costs += [self._trajectory_cost(term) for term in self.problem.trajectory_terms]
        self.costs += [self._rate_cost(term) for term in self.problem.rate_costs]

    def add_constraints(self) -> None:
        """Add all constraints but the dynamics."""
        for constraint in self.problem.constraint_terms:
            self._constraint(constraint)
        self.constraints += [self._rate_limit(limit) for limit in self.problem.rate_limits]

    def program(self, formulation: Formulation, **more: Any) -> NonlinearProgram:
        """Return the program of what has been added; `more` are its further fields."""
        return NonlinearProgram(
            problem=self.problem,
            formulation=formulation,
            needs_value=self.needs_value,
            layout=self.layout,
            full_scale=self.scale,
            slack=np.array(self.slack, dtype=np.int64),
            costs=tuple(self.costs),
            constraints=tuple(self.constraints),
            **more,
        )

    def term(
        self,
        name: str,
        index: IntArray,
        function: TermFunction | None,
        position: FloatArray,
        both_ends: bool = False,
        **more: Any,
    ) -> StageTerm:
        """Return a term on variables `index` `(K, d)` whose parameters are taken at `position` `(K,)`, in intervals.

        With `both_ends`, they are also taken one interval later, as `Parameters.ends` gives them.
        """
        localized = {key: _local(f, position, both_ends) for key, f in (("function", function), *_functions(more))}
        knots = np.floor(position + 1e-9).astype(np.int64)
        settings = {"knots": knots, **more, **localized}
        return StageTerm(name=name, index=index, scale=self.scale[index[0]] if index.size else np.zeros(0), **settings)

    def _stage_cost(self, term: StageCostTerm, face: Face) -> StageTerm:
        if term.next_state:
            return self._transition_cost(term, face)
        points, timed = self.points, term.integral
        weights = points.share if timed else points.weight

        def weighted(function: FaceFunction) -> TermFunction:
            def cost(z: Tensor, parameters: Parameters) -> Tensor:
                state, control, *rest = self._split(z, timed)
                factor = torch.as_tensor(weights, dtype=z.dtype)
                return (factor * rest[0] if timed else factor) * function(state, control, parameters)

            return cost

        return self.term(
            term.name,
            np.hstack([points.states, points.controls, *([self._durations(len(weights))] if timed else [])]),
            weighted(face.function),
            points.position,
            merit=None if face.has_value else weighted(face.merit),
            residual=self._weighted_residual(face, weights, timed),
            annealed=term.annealed,
            numbers=term.number_values,
        )

    def _transition_cost(self, term: StageCostTerm, face: Face) -> StageTerm:
        """Return a cost of state, control and next state at the knots 0..N-1."""
        layout, n = self.layout, self.problem.state_size
        index = np.hstack([layout.states[0.0], layout.first_controls, layout.states[1.0]])

        def at_transitions(function: FaceFunction) -> TermFunction:
            return lambda z, parameters: function(z[..., :n], z[..., n:], parameters)

        return self.term(
            term.name,
            index,
            at_transitions(face.function),
            np.arange(self.problem.horizon, dtype=np.float64),
            merit=None if face.has_value else at_transitions(face.merit),
            annealed=term.annealed,
            numbers=term.number_values,
        )

    def _weighted_residual(self, face: Face, weights: FloatArray, timed: bool) -> TermFunction | None:
        inner = face.residual
        if inner is None:
            return None

        def residual(z: Tensor, parameters: Parameters) -> Tensor:
            state, control, *rest = self._split(z, timed)
            factor = torch.as_tensor(weights, dtype=z.dtype)
            factor = factor * rest[0] if timed else factor
            return factor.sqrt()[..., None] * inner(state, control, parameters)

        return residual

    def _split(self, z: Tensor, timed: bool) -> list[Tensor]:
        """Return state, control and, of a timed term, the duration of the plan without its last dimension."""
        n, m = self.problem.state_size, self.problem.control_size
        parts = [z[..., :n], z[..., n : n + m]]
        return [*parts, self.duration(z[..., n + m :])] if timed else parts

    def duration(self, rest: Tensor) -> Tensor:
        """Return the duration of the plan from the variables `(..., 0 or 1)` that hold it."""
        if self.layout.duration is None:
            return torch.as_tensor(self.problem.grid.duration, dtype=rest.dtype)
        return rest[..., 0]

    def _durations(self, count: int) -> IntArray:
        held = [] if self.layout.duration is None else [self.layout.duration]
        return np.tile(np.array(held, dtype=np.int64), (count, 1))

    def with_duration(self, *parts: IntArray) -> IntArray:
        """Return an index map of parts `(K, ...)` followed by the duration, where that is a variable."""
        return np.hstack([*parts, self._durations(len(parts[0]))])

    def _terminal_cost(self, term: TerminalCost) -> StageTerm:
        index = self.layout.states[1.0][-1:]
        return self.term(term.name, index, term.weighted, self._end(), numbers=term.number_values)

    def _trajectory_cost(self, term: TrajectoryCost) -> StageTerm:
        """Return a term of one instance that holds all states and controls; its parameters are those of all knots."""
        states, controls = self.layout.knot_states, self.layout.first_controls
        index = np.concatenate([states.ravel(), controls.ravel()])[None]

        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            knots, drives = torch.split(z, [states.size, controls.size], dim=-1)
            lead = z.shape[:-1]
            return term.weighted(
                knots.reshape(*lead, *states.shape), drives.reshape(*lead, *controls.shape), parameters
            )

        return StageTerm(
            name=term.name,
            function=cost,
            index=index,
            scale=self.scale[index[0]],
            knots=np.zeros(1, dtype=np.int64),
            numbers=term.number_values,
            whole_plan=True,
        )

    def _end(self) -> FloatArray:
        return np.array([float(self.problem.horizon)])

    def _constraint(self, constraint: Constraint) -> None:
        problem, n = self.problem, self.problem.state_size
        count = count_rows(problem, constraint)
        position, sizes = self._end(), [n]
        labels: tuple[str, ...] = ()
        weights: FloatArray | None = None
        if isinstance(constraint, StageConstraint) and constraint.next_state:
            layout, sizes = self.layout, [n, problem.control_size, n]
            index = np.hstack([layout.states[0.0], layout.first_controls, layout.states[1.0]])
            position = np.arange(problem.horizon, dtype=np.float64)
        elif isinstance(constraint, StageConstraint):
            chosen = self.points.position > 0.0 if constraint.after_start else np.full(len(self.points.position), True)
            index = np.hstack([self.points.states, self.points.controls])[chosen]
            position, weights = self.points.position[chosen], self.points.weight[chosen]
            labels = tuple(label for label, kept in zip(self.points.labels, chosen, strict=True) if kept)
            if not len(index):
                return
            sizes = [n, problem.control_size]
        elif isinstance(constraint, BoundaryConstraint):
            index, sizes = np.hstack([self.layout.states[0.0][:1], self.layout.states[1.0][-1:]]), [n, n]
        else:
            index = self.layout.states[1.0][-1:]

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            values: Tensor = constraint.evaluate(*torch.split(z, sizes, dim=-1), parameters=parameters)
            return values

        lower, upper = constraint_bounds(constraint, count)
        term = self.term(
            constraint.name,
            index,
            rows,
            position,
            labels=labels,
            row_names=tuple(str(i) for i in range(count)),
            row_scale=self._row_scale(constraint, sizes, index, count),
            lower=lower,
            upper=upper,
        )
        self.constraints += [term] if constraint.soft is None else self._soften(term, constraint.soft, weights)

    def _row_scale(self, constraint: Constraint, sizes: list[int], index: IntArray, count: int) -> FloatArray:
        if constraint.scale is not None:
            return 1.0 / make_unit(f"scale of {constraint.name!r}", constraint.scale, count)
        start, middle = self.problem.start, self.problem.control_box.middle()
        # a next state is where the state is
        centre = np.concatenate([start, middle, start])[: index.shape[1]]
        if not isinstance(constraint, StageConstraint):
            centre = np.resize(start, index.shape[1])
        parameters = self.problem.values(dtype=torch.float64).local(np.zeros(8))
        cast = constraint.to(torch.float64)
        return row_scale(
            lambda z: cast.evaluate(*torch.split(z, sizes, dim=-1), parameters=parameters), self.scale[index[0]], centre
        )

    def _soften(self, term: StageTerm, penalty: Penalty, weights: FloatArray | None) -> list[StageTerm]:
        """Return the rows with slack s >= 0: g - s <= upper, g + s >= lower; the price of s joins the costs.

        Each instance counts by its weight `(K,)`, once if not given.
        """
        count = term.instances * term.rows
        first = len(self.scale)
        self.scale = np.concatenate([self.scale, np.tile(1.0 / term.row_scale, term.instances)])
        slack = first + np.arange(count).reshape(term.instances, term.rows)
        self.slack += slack.ravel().tolist()

        def price(z: Tensor, parameters: Parameters) -> Tensor:
            cost = (penalty.linear * z + 0.5 * penalty.quadratic * z.square()).sum(-1)
            return cost if weights is None else torch.as_tensor(weights, dtype=z.dtype) * cost

        self.costs.append(self.term(f"{term.name}.violation", slack, price, term.knots.astype(np.float64)))
        parts = []
        for side, sign, name in (("upper", -1.0, "<="), ("lower", 1.0, ">=")):
            bound = getattr(term, side)
            if not np.isfinite(bound).any():
                continue
            linear = LinearPart(sign * np.eye(term.rows), slack, self.scale[slack[0]])
            names = tuple(f"{row} {name}" for row in term.row_names)
            one_sided = replace(term, row_names=names, linear=linear)
            free = np.full(term.rows, sign * np.inf)
            parts.append(replace(one_sided, lower=free) if side == "upper" else replace(one_sided, upper=free))
        return parts

    def _changes(self) -> tuple[IntArray, FloatArray, IntArray]:
        """Return each control with the one before it `(K, 2m)`, the time between them as a share, and knots `(K,)`.

        The first control follows the one that was applied before the plan; without that it follows itself. A control
        that is held over several intervals changes within the last of them.
        """
        index, times = self.layout.control_sequence()
        before = np.concatenate([index[:1], index[:-1]])
        knots = np.searchsorted(self.problem.grid.mesh, times + 1e-12, side="right") - 1
        shares = np.concatenate([self.problem.grid.shares[:1], np.diff(times)])
        if self.problem.move_blocks is not None:
            shares[1:] = self.problem.grid.shares[knots[1:] - 1]
        return np.hstack([before, index]), shares, np.concatenate([[0], knots[1:]])

    def _change(self, z: Tensor, parameters: Parameters) -> Tensor:
        """Return by how much each control differs from the one before it, `(..., K, m)`."""
        m = self.problem.control_size
        before, after = z[..., :m], z[..., m : 2 * m]
        if parameters.previous_control is not None:
            start = after[..., :1, :] - parameters.previous_control
            return torch.cat([start, (after - before)[..., 1:, :]], dim=-2)
        return after - before

    def _rate_cost(self, term: ControlRateCost) -> StageTerm:
        index, _, knots = self._changes()
        unit = torch.tensor(make_unit(f"scale of {term.name!r}", term.scale, self.problem.control_size))
        counts = torch.tensor(self._change_weights())

        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            changes = self._change(z, parameters) / unit.to(z.dtype)
            priced: Tensor = term.weight_at(parameters) * counts.to(z.dtype) * changes.square().sum(-1)
            return priced

        return self.term(term.name, index, cost, knots.astype(np.float64), numbers=term.number_values)

    def _change_weights(self) -> FloatArray:
        """Return what the square of each change counts `(K,)`: as one from interval to interval at the same rate."""
        _, times = self.layout.control_sequence()
        if self.problem.move_blocks is not None:
            return np.ones(len(times))
        places = np.interp(times, self.problem.grid.mesh, np.arange(self.problem.horizon + 1.0))
        steps = np.diff(places)
        # as many changes as from interval to interval, however far apart the first and the last control are
        count = max(self.problem.horizon - 1, 1)
        return np.concatenate([[1.0], count / (steps * steps.sum())])

    def _rate_limit(self, limit: ControlRateLimit) -> StageTerm:
        index, shares, knots = self._changes()
        m = self.problem.control_size
        lower, upper = limit.bounds(m)
        spans, allowed = torch.tensor(shares), torch.tensor(np.clip(0.0, lower, upper))

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            seconds = spans.to(z.dtype) * self.duration(z[..., 2 * m :])
            rates = self._change(z, parameters) / seconds[..., None]
            if parameters.previous_control is None:
                # nothing is known of a change to the first control: it is whatever is allowed
                return torch.cat([rates[..., :1, :] + allowed.to(z.dtype), rates[..., 1:, :]], dim=-2)
            return rates

        return self.term(
            limit.name,
            self.with_duration(index),
            rows,
            knots.astype(np.float64),
            row_names=self.problem.control_labels,
            row_scale=1.0 / np.maximum(np.maximum(np.abs(upper), np.abs(lower)), 1e-12),
            lower=lower,
            upper=upper,
            labels=self._pair_labels(knots),
        )

    def _pair_labels(self, knots: IntArray) -> tuple[str, ...]:
        seen: dict[int, int] = {}
        labels = []
        for knot in knots.tolist():
            seen[knot] = seen.get(knot, -1) + 1
            labels.append(f"change {seen[knot]}" if seen[knot] else "")
        return tuple(labels)


def _functions(more: dict[str, Any]) -> list[tuple[str, TermFunction | None]]:
    return [(key, more[key]) for key in ("merit", "residual") if key in more]


def _local(function: TermFunction | None, position: FloatArray, both_ends: bool) -> TermFunction | None:
    return None if function is None else Localized(function, position, both_ends)
