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
from trajopt_sgp.formulations.control_rates import ControlRates
from trajopt_sgp.formulations.layout import Layout, Places, Points
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.scaling import row_scale
from trajopt_sgp.problem import (
    Constraint,
    ControlRateCost,
    ControlRateLimit,
    Face,
    OptimalControlProblem,
    Penalty,
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

        parts = points.states, points.controls
        return self.term(
            term.name,
            self.layout.with_duration(*parts) if timed else np.hstack(parts),
            weighted(face.function),
            points.position,
            merit=None if face.has_value else weighted(face.merit),
            residual=self._weighted_residual(face, weights, timed),
            annealed=term.annealed,
            numbers=term.number_values,
        )

    def _transition_cost(self, term: StageCostTerm, face: Face) -> StageTerm:
        """Return a cost of state, control and next state at the knots 0..N-1."""
        n = self.problem.state_size

        def at_transitions(function: FaceFunction) -> TermFunction:
            return lambda z, parameters: function(z[..., :n], z[..., n:], parameters)

        return self.term(
            term.name,
            self.layout.transitions().index,
            at_transitions(face.function),
            self.layout.transitions().position,
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
        return [*parts, self.layout.duration_from(z[..., n + m :])] if timed else parts

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
        count, places = count_rows(self.problem, constraint), self.layout.places(constraint, self.points)
        sizes = places.sizes
        if not len(places.index):
            return

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            values: Tensor = constraint.evaluate(*torch.split(z, sizes, dim=-1), parameters=parameters)
            return values

        lower, upper = constraint_bounds(constraint, count)
        term = self.term(
            constraint.name,
            places.index,
            rows,
            places.position,
            labels=places.labels,
            row_names=tuple(str(i) for i in range(count)),
            row_scale=self._row_scale(constraint, places, count),
            lower=lower,
            upper=upper,
        )
        self.constraints += [term] if constraint.soft is None else self._soften(term, constraint.soft, places.weight)

    def _row_scale(self, constraint: Constraint, places: Places, count: int) -> FloatArray:
        if constraint.scale is not None:
            return 1.0 / make_unit(f"scale of {constraint.name!r}", constraint.scale, count)
        cast, parameters = constraint.to(torch.float64), self.problem.values(dtype=torch.float64)

        def rows(z: Tensor) -> Tensor:
            arguments = torch.split(z, places.sizes, dim=-1)
            values: Tensor = cast.evaluate(*arguments, parameters=parameters.local(np.zeros(len(z))))
            return values

        centre = np.concatenate(constraint.arguments(self.problem.start, self.problem.control_box.middle()))
        return row_scale(rows, self.scale[places.index[0]], centre)

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

    def _rate_cost(self, term: ControlRateCost) -> StageTerm:
        rates = ControlRates(self.layout)
        return self.term(term.name, rates.index, rates.cost(term), rates.position, numbers=term.number_values)

    def _rate_limit(self, limit: ControlRateLimit) -> StageTerm:
        rates, (lower, upper) = ControlRates(self.layout), limit.bounds(self.problem.control_size)
        return self.term(
            limit.name,
            self.layout.with_duration(rates.index),
            rates.rows(lower, upper),
            rates.position,
            labels=rates.labels,
            row_names=self.problem.control_labels,
            row_scale=1.0 / np.maximum(np.maximum(np.abs(upper), np.abs(lower)), 1e-12),
            lower=lower,
            upper=upper,
        )


def _functions(more: dict[str, Any]) -> list[tuple[str, TermFunction | None]]:
    return [(key, more[key]) for key in ("merit", "residual") if key in more]


def _local(function: TermFunction | None, position: FloatArray, both_ends: bool) -> TermFunction | None:
    return None if function is None else Localized(function, position, both_ends)
