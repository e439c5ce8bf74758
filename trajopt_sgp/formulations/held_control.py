"""Transcriptions whose controls are held over each interval: direct transcription and shooting share all terms."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import BoolArray, FloatArray, IntArray
from trajopt_sgp.derivatives.elimination import Elimination, eliminated_knots
from trajopt_sgp.derivatives.stage_term import LinearPart, Parameters, StageTerm
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.held_inputs import HeldInputs
from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.formulations.mesh_error import mesh_error
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.scaling import state_scale
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.formulations.term_builder import TermBuilder
from trajopt_sgp.problem import Face, OptimalControlProblem
from trajopt_sgp.problem.curve import Curve
from trajopt_sgp.problem.dynamics import is_continuous, parameter_names
from trajopt_sgp.problem.terms import StageCostTerm


@dataclass(frozen=True, eq=False)
class HeldControl:
    """Variables x_0, u_0, x_1, ..., u_{N-1}, x_N; defects f(x_t, u_t) - x_{t+1} = 0."""

    problem: OptimalControlProblem
    """What is transcribed."""
    stepper: Stepper
    """How a state moves over an interval."""
    needs_value: bool
    """Which face of the distances to data is meant."""

    def program(self, formulation: Formulation, steps: int | None) -> NonlinearProgram:
        """Make the program; with `steps`, all states but every `steps`-th are eliminated, and the last one too."""
        layout = Layout.of(self.problem, states=(), controls=(0.0,), last_control=False)
        builder = TermBuilder(self.problem, layout, layout.points({0.0: 1.0}), self.needs_value)
        builder.constraints.append(self._defects(builder))
        if steps is not None:
            builder.constraints += self._bounds(builder, eliminated_knots(self.problem.horizon, steps))
        builder.add_costs(lambda term, face: self._integral(builder, term, face), shooting=steps is not None)
        builder.add_constraints()
        continuous = is_continuous(self.problem.dynamics)
        return builder.program(
            formulation,
            elimination=None if steps is None else self._elimination(builder, steps),
            curves=_HermiteCurves(self.stepper, layout) if continuous else None,
            estimate_mesh_error=(lambda plan, values: mesh_error(self.stepper, plan, values)) if continuous else None,
        )

    def spans(self, layout: Layout, rest: Tensor) -> Tensor:
        """Return the durations of the intervals `(..., N)` [s] from the variables that hold the duration."""
        shares = torch.as_tensor(self.problem.grid.shares, dtype=rest.dtype)
        return shares * layout.duration_from(rest)

    def _defects(self, builder: TermBuilder) -> StageTerm:
        layout, n, m = builder.layout, self.problem.state_size, self.problem.control_size
        units, zeros = state_scale(self.problem), np.zeros(self.problem.state_size)

        def step(z: Tensor, parameters: Parameters) -> Tensor:
            spans = self.spans(layout, z[..., n + m :])
            return self.stepper.advance(z[..., :n], z[..., n : n + m], spans, self._ends(parameters))

        return builder.term(
            "defect",
            layout.with_duration(layout.states[0.0], layout.controls[0.0]),
            step,
            self._positions(),
            both_ends=True,
            row_names=self.problem.state_labels,
            row_scale=1.0 / units,
            lower=zeros,
            upper=zeros,
            linear=LinearPart(-np.eye(n), layout.states[1.0], units),
        )

    def _integral(self, builder: TermBuilder, term: StageCostTerm, face: Face) -> StageTerm:
        layout, n, m = builder.layout, self.problem.state_size, self.problem.control_size

        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            return self.stepper.integral(
                face.function,
                z[..., :n],
                z[..., n : n + m],
                self.spans(layout, z[..., n + m :]),
                self._ends(parameters),
            )

        index = layout.with_duration(layout.states[0.0], layout.controls[0.0])
        return builder.term(term.name, index, cost, self._positions(), both_ends=True, numbers=term.number_values)

    def _bounds(self, builder: TermBuilder, eliminated: BoolArray) -> list[StageTerm]:
        """Return rows for the bounds of states that are variables no more, and for a given last state."""
        layout, problem = builder.layout, self.problem
        terms = []
        knots = np.flatnonzero(eliminated[:-1])
        box = problem.state_box
        if len(knots) and box.bounded:
            terms.append(
                self._state_rows(builder, "state_bounds", layout.knot_states[knots], knots, box.lower, box.upper)
            )
        lower, upper = problem.final.bounds(box)
        if np.isfinite(lower).any() or np.isfinite(upper).any():
            last, knot = layout.knot_states[-1:], np.array([problem.horizon])
            name = "final_state" if problem.final.held.any() else "state_bounds"
            terms.append(self._state_rows(builder, name, last, knot, lower, upper))
        return terms

    def _state_rows(
        self, builder: TermBuilder, name: str, index: IntArray, knots: IntArray, lower: FloatArray, upper: FloatArray
    ) -> StageTerm:
        chosen = np.flatnonzero(np.isfinite(lower) | np.isfinite(upper))
        units = state_scale(self.problem)[chosen]
        return builder.term(
            name,
            np.zeros((len(knots), 0), dtype=np.int64),
            None,
            knots.astype(np.float64),
            knots=knots,
            row_names=tuple(self.problem.state_labels[i] for i in chosen),
            row_scale=1.0 / units,
            lower=lower[chosen],
            upper=upper[chosen],
            linear=LinearPart(np.eye(len(chosen)), index[:, chosen], units),
        )

    def _elimination(self, builder: TermBuilder, steps: int) -> Elimination:
        layout, m = builder.layout, self.problem.control_size
        names = parameter_names(self.problem.dynamics)
        # what a discrete model takes at the end of an interval is not looked at
        places = np.cumsum([m + 1, *(2 * self._widths[name] for name in names)])

        def advance(state: Tensor, drive: Tensor) -> Tensor:
            values = {name: drive[..., a:b] for name, a, b in zip(names, places, places[1:], strict=False)}
            ends = self._ends(Parameters(state, values=values))
            return self.stepper.advance(state, drive[..., :m], drive[..., m], ends)

        return Elimination(
            states=layout.knot_states,
            scale=state_scale(self.problem),
            steps=steps,
            fixed_start=bool(self.problem.initial.held.all()),
            size=len(builder.scale),
            advance=advance,
            inputs=HeldInputs(self.problem.grid, layout.controls[0.0], layout.duration, builder.scale, tuple(names)),
            shared=int(layout.duration is not None),
        )

    def _ends(self, parameters: Parameters) -> tuple[Parameters, Parameters]:
        """Return the parameters at both ends of intervals from those that hold both side by side."""
        parts = {name: torch.split(value, self._widths[name], dim=-1) for name, value in parameters.values.items()}
        first, last = ({name: part[side] for name, part in parts.items()} for side in (0, -1))
        return replace(parameters, values=first), replace(parameters, values=last)

    @cached_property
    def _widths(self) -> dict[str, int]:
        """The number of components of each parameter."""
        return {name: int(value.shape[-1]) for name, value in self.problem.values().values.items()}

    def _positions(self) -> FloatArray:
        return np.arange(self.problem.horizon, dtype=np.float64)


@dataclass(frozen=True)
class _HermiteCurves:
    """Cubic states through the knots with the rates of the dynamics at both ends; held controls."""

    stepper: Stepper
    layout: Layout

    def __call__(self, values: FloatArray, parameters: Parameters) -> tuple[Curve, None]:
        before, after = values[self.layout.states[0.0]], values[self.layout.states[1.0]]
        controls = values[self.layout.controls[0.0]]
        knots = np.arange(len(before), dtype=np.float64)
        spans = (self.stepper.problem.grid.shares * self.layout.duration_of(values))[:, None]
        first, last = (
            spans * self.stepper.rates(states, controls, parameters.local(knots + shift))
            for states, shift in ((before, 0.0), (after, 1.0))
        )
        change = after - before
        coefficients = np.stack([before, first, 3.0 * change - 2.0 * first - last, first + last - 2.0 * change], axis=1)
        return Curve(coefficients), None
