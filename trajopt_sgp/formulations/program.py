"""The nonlinear program that a formulation makes and a solver solves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import AnyArray, FloatArray, IntArray
from trajopt_sgp.derivatives.assembly import Assembly
from trajopt_sgp.derivatives.condensed import CondensedAssembly
from trajopt_sgp.derivatives.elimination import Elimination
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives as ProgramDerivatives
from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.evaluation import Evaluation, Weigh, recorded
from trajopt_sgp.formulations.excess import excess
from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.formulations.optimality import kkt_residual
from trajopt_sgp.formulations.slack import set_slack
from trajopt_sgp.formulations.violations import Violations, bound_name, variable_places
from trajopt_sgp.problem import ControlLaw, KktResidual, OptimalControlProblem, Row, Trajectory
from trajopt_sgp.problem.curve import Curve
from trajopt_sgp.problem.precision import Copies, noted_copies

Curves = Callable[[FloatArray, Parameters], tuple[Curve | None, Curve | None]]
"""Variables `(size,)` in the units of the problem to states and controls between the knots."""

MeshError = Callable[[Trajectory, Parameters], FloatArray]
"""A plan to the error of discretisation of each interval `(N,)`."""

_NO_ROWS = torch.zeros((1, 0), dtype=torch.float64)


@dataclass(frozen=True, eq=False, kw_only=True)
class NonlinearProgram:
    """Minimise the sum of costs over scaled variables w within bounds, subject to bounded rows.

    Terms are functions of the variables of a transcription; with an elimination, only a part of them is decided, and
    the rest follows from the dynamics.
    """

    problem: OptimalControlProblem
    """Where it comes from, in the precision of the solver."""
    formulation: Formulation
    """What made it."""
    needs_value: bool
    """Which face of the distances to data it holds."""
    layout: Layout
    """Where states and controls are among the variables of the transcription."""
    full_scale: FloatArray
    """Units of the variables of the transcription, slack included."""
    slack: IntArray
    """Variables of soft constraints, which are not negative."""
    costs: tuple[StageTerm, ...]
    """Summed."""
    constraints: tuple[StageTerm, ...]
    """Rows; the dynamics first."""
    elimination: Elimination | None = None
    """Which variables follow from the others, in shooting."""
    curves: Curves | None = None
    """States and controls between the knots, where the formulation says more than the knots do."""
    estimate_mesh_error: MeshError | None = None
    """Where time is continuous."""
    assembly: ProgramDerivatives = field(init=False)
    """Values and sparse derivatives for the decision variables."""
    full_assembly: Assembly = field(init=False)
    """The same for the variables of the transcription."""
    decided: IntArray = field(init=False)
    """Decision variables among those of the transcription."""

    def __post_init__(self) -> None:
        full = Assembly(len(self.full_scale), self.costs, self.constraints)
        e = self.elimination
        object.__setattr__(self, "full_assembly", full)
        object.__setattr__(self, "assembly", full if e is None else CondensedAssembly(full, e))
        object.__setattr__(self, "decided", np.arange(full.size) if e is None else e.kept)

    @property
    def name(self) -> str:
        """Name of the formulation."""
        return self.formulation.name

    @cached_property
    def annealed(self) -> bool:
        """Whether any cost changes with the progress of the solver."""
        return any(term.annealed for term in self.problem.stage_terms)

    @cached_property
    def guessed_by_controls(self) -> bool:
        """Whether a guess needs controls alone, as the states after the first follow from them."""
        return self.elimination is not None and not np.isin(self.layout.knot_states[1:], self.decided).any()

    @cached_property
    def surrogates(self) -> frozenset[str]:
        """Names of the costs that are a gradient field, whose values have no meaning."""
        return frozenset(term.name for term in self.costs if term.merit is not None)

    @property
    def size(self) -> int:
        """Number of decision variables."""
        return len(self.decided)

    @property
    def scale(self) -> FloatArray:
        """Units of the decision variables, `(size,)`."""
        return self.full_scale[self.decided]

    def bounds(self, initial_state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the scaled decision variables, `(..., size)` for initial states `(..., n)`.

        States that are given at the ends are held by their bounds.
        """
        sides = zip(self.layout.bounds(initial_state), (0.0, np.inf), strict=True)
        lower, upper = (self._followed_by_slack(side, of_slack) / self.full_scale for side, of_slack in sides)
        return lower[..., self.decided], upper[..., self.decided]

    def pack(self, trajectory: Trajectory) -> FloatArray:
        """Return scaled decision variables `(..., size)` of a trajectory."""
        return self.pack_all(trajectory)[..., self.decided]

    def pack_all(self, trajectory: Trajectory) -> FloatArray:
        """Return scaled variables of the transcription `(..., full size)` of a trajectory; slack is zero."""
        return self._followed_by_slack(self.layout.pack(trajectory), 0.0) / self.full_scale

    def _followed_by_slack(self, values: FloatArray, slack: float) -> FloatArray:
        """Return all variables `(..., full size)` from those of the layout, with one number for all slack."""
        return np.concatenate([values, np.full((*values.shape[:-1], len(self.slack)), slack)], axis=-1)

    def unpack(self, variables: FloatArray, parameters: Parameters) -> Trajectory:
        """Return the trajectory of scaled decision variables `(size,)`, controls moved within their bounds."""
        lower, upper = self.bounds(_numpy(parameters.initial_state))
        controls = np.isin(self.decided, np.concatenate([i.ravel() for i in self.layout.controls.values()]))
        clipped = np.where(controls, np.clip(variables, lower, upper), variables)
        return self.plan_of(self.lift(clipped, parameters) * self.full_scale, parameters)

    def plan_of(self, values: FloatArray, parameters: Parameters) -> Trajectory:
        """Return the trajectory of all variables `(full size,)` in the units of the problem, controls within bounds."""
        problem, layout = self.problem, self.layout
        states, controls = values[layout.knot_states], problem.control_box.clip(values[layout.first_controls])
        step, mesh = layout.duration_of(values) / problem.horizon, None if problem.grid.uniform else problem.grid.mesh
        if self.curves is None or not np.isfinite(values).all():
            return Trajectory(states, controls, step, mesh)
        return Trajectory(states, controls, step, mesh, *self.curves(values, parameters))

    def lift(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return all scaled variables of the transcription `(full size,)`, eliminated states by rolling out."""
        if self.elimination is None:
            return variables
        full: FloatArray = self.elimination.lift_array(self._own(variables)[None], parameters)[0].astype(np.float64)
        return full

    def _own(self, variables: FloatArray) -> AnyArray:
        """Return an array in the precision of the program."""
        return variables.astype(np.float64 if self.problem.dtype == torch.float64 else np.float32)

    def expand(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return all scaled variables `(P, full size)` of a batch of decision variables `(P, size)`."""
        return variables if self.elimination is None else self.elimination.lift(variables, parameters)

    def restart(self) -> None:
        """Begin again with the same noise; here there is none."""

    def recheck(self) -> None:
        """Begin another solve, for which weights and whatever else functions read may have changed.

        Traces and compiled rollouts are compared with the functions themselves when they are used next.
        """
        self.full_assembly.recheck()
        if self.elimination is not None:
            self.elimination.rollout.recheck()
        if "_in_double" in vars(self):
            program, copies = self._in_double
            copies.refresh()
            program.recheck()

    def holds(self, variables: FloatArray, parameters: Parameters) -> bool:
        """Return whether traces and compiled rollouts still are the functions, at plans `(P, size)` that were found.

        The parameters are those of the batch.
        """
        full = variables
        if self.elimination is not None:
            own = self._own(variables)
            if not self.elimination.holds(own, parameters):
                return False
            full = self.elimination.lift_array(own, parameters).astype(np.float64)
        return self.problem.dtype != torch.float64 or self.full_assembly.holds(full, parameters)

    def evaluate(self, variables: Tensor, parameters: Parameters) -> Evaluation:
        """Return objective, merit and rows of a batch of scaled decision variables `(P, size)`, differentiable once."""
        return self.evaluate_all(self.expand(variables, parameters), parameters)

    def evaluate_with_gradient(
        self, variables: Tensor, parameters: Parameters, weigh: Weigh | None = None
    ) -> tuple[Evaluation, Tensor]:
        """Return the same, detached, and the gradient `(P, size)` of the objective, or of what `weigh` makes of it all.

        Rolled-out states are differentiated by the adjoint of the rollout, without a graph of it, and the objective of
        a single program without rows in closed form.
        """
        if self.elimination is None:
            return recorded(lambda point: self.evaluate(point, parameters), variables, weigh)
        lifted, pull_back = self.elimination.lift_with_adjoint(variables.detach().numpy(), parameters)
        if weigh is None and len(lifted) == 1 and lifted.dtype == np.float64 and not self.assembly.row_count:
            found, by_lifted = self._in_closed_form(lifted, parameters)
        else:
            full = torch.from_numpy(lifted)
            found, slope = recorded(lambda point: self.evaluate_all(point, parameters), full, weigh)
            by_lifted = slope.numpy()
        return found, torch.from_numpy(pull_back(by_lifted))

    def _in_closed_form(self, lifted: FloatArray, parameters: Parameters) -> tuple[Evaluation, FloatArray]:
        """Return evaluation and gradient for all scaled variables `(1, full size)` of a program without rows."""
        value, slope = self.full_assembly.gradient(lifted[0], parameters)
        objective = merit = torch.from_numpy(np.array([value]))
        if self.annealed or self.surrogates:
            merit = self.full_merit(torch.from_numpy(lifted), parameters.at_end())
        return Evaluation(objective, merit, _NO_ROWS), slope[None]

    def evaluate_all(self, full: Tensor, parameters: Parameters) -> Evaluation:
        """Return the same for all scaled variables `(P, full size)` of the transcription."""
        objective = full.new_zeros(len(full))
        for term in self.costs:
            # constants of a user's function may be of another precision
            objective = objective + term.cost(full, parameters).to(full.dtype)
        rows = [term.scaled_rows(full, parameters).to(full.dtype) for term in self.constraints if self._has_rows(term)]
        joined = torch.cat(rows, dim=-1) if rows else full.new_zeros((len(full), 0))
        places = self._row_places()
        differs = self.annealed or bool(self.surrogates)
        merit = self.full_merit(full, parameters.at_end()) if differs else objective.detach()
        return Evaluation(objective, merit, joined if places is None else joined[:, places])

    @torch.no_grad()
    def merit(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the merit `(P,)` of scaled decision variables `(P, size)` where the parameters are on schedules."""
        return self.full_merit(self.expand(variables, parameters), parameters)

    @torch.no_grad()
    def merit_with_slack(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the same where slack is by how much the rows are violated."""
        if not len(self.slack):
            return self.merit(variables, parameters)
        return self.full_merit(self.with_slack(self.expand(variables, parameters), parameters), parameters)

    @torch.no_grad()
    def with_slack(self, full: Tensor, parameters: Parameters) -> Tensor:
        """Return all scaled variables `(..., full size)` with slack by how much the rows are violated."""
        return set_slack(full, self.constraints, self.slack, parameters) if len(self.slack) else full

    @torch.no_grad()
    def full_merit(self, full: Tensor, parameters: Parameters) -> Tensor:
        """Return the same for all scaled variables `(P, full size)` of the transcription."""
        merits = (term.merit_cost(full, parameters).to(full.dtype) for term in self.costs)
        return sum(merits, full.new_zeros(len(full)))

    def cost_terms(self, trajectory: Trajectory, parameters: Parameters) -> dict[str, float]:
        """Return the cost of a trajectory by term, at the end of annealing schedules, with the slack that it needs."""
        full = torch.as_tensor(self.pack_all(trajectory), dtype=self.problem.dtype)
        return self.costs_at(_numpy(self.with_slack(full, parameters)), parameters)

    def costs_at(self, full: FloatArray, parameters: Parameters) -> dict[str, float]:
        """Return the cost by term of all scaled variables `(full size,)`, or the mean over a batch `(B, full size)`."""
        points, end = torch.as_tensor(np.atleast_2d(full), dtype=self.problem.dtype), parameters.at_end()
        with torch.no_grad():
            return {term.name: float(term.merit_cost(points, end).mean()) for term in self.costs}

    def verified_costs(self, full: FloatArray, parameters: Parameters) -> dict[str, float]:
        """Return the same of `(full size,)` for a plan that a solve has found and `holds` has verified, faster."""
        if self.problem.dtype != torch.float64 or self.surrogates:
            return self.costs_at(full, parameters)
        return self.full_assembly.cost_values(full, parameters.at_end())

    def describe_backends(self) -> dict[str, str]:
        """Return which backend computes the derivatives of each term, and the rollout, and why."""
        backends = self.full_assembly.describe_backends()
        return backends if self.elimination is None else backends | {"rollout": self.elimination.rollout.backend}

    def defects(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the rows of the dynamics `(..., K, n)` in the units of the states; zero where they are rolled out."""
        term = self.constraints[0] if self.constraints else None
        if term is None or term.name != "defect":
            return np.zeros((self.problem.horizon, 0))
        full = torch.as_tensor(self.lift(variables, parameters), dtype=self.problem.dtype)
        with torch.no_grad():
            rows = _numpy(term.scaled_rows(full, parameters))
        return rows.reshape(*rows.shape[:-1], term.instances, term.rows) / term.row_scale

    def kkt_residual(
        self, variables: FloatArray, multipliers: Mapping[str, FloatArray], parameters: Parameters
    ) -> KktResidual:
        """Return the residual of the first-order conditions at scaled decision variables `(size,)`."""
        return kkt_residual(
            self.assembly, self.bounds(_numpy(parameters.initial_state)), variables, multipliers, parameters
        )

    def mesh_error(self, trajectory: Trajectory, parameters: Parameters) -> FloatArray:
        """Return the error of discretisation of each interval `(N,)`; zero where time is discrete."""
        if self.estimate_mesh_error is None:
            return np.zeros(self.problem.horizon)
        return self.estimate_mesh_error(trajectory, parameters)

    def excess(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return how far each scaled row and bound is outside its limits at `variables` `(size,)`; 0 within."""
        rows = excess(self.rows(variables, parameters), *self.assembly.bounds())
        outside = excess(variables, *self.bounds(_numpy(parameters.initial_state)))
        both: FloatArray = np.abs(np.concatenate([rows, outside]))
        return both

    def violated_rows(self, excess: FloatArray) -> Sequence[Row]:
        """Return every row and bound that is violated, in its own units, largest first."""
        return Violations(excess * np.concatenate([self.assembly.row_unscale(), self.scale]), self._violation_name)

    def _violation_name(self, place: int) -> tuple[str, int]:
        if place < (count := self.assembly.row_count):
            return self.assembly.row_name(place)
        return bound_name(self.variable_place(place - count), self.problem.control_labels)

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled rows `(row_count,)`, in the precision of the problem."""
        if self.problem.dtype == torch.float64:
            return self.assembly.rows(variables, parameters)
        if not self.assembly.row_count:
            return np.zeros(0)
        point = torch.as_tensor(variables, dtype=self.problem.dtype)[None]
        with torch.no_grad():
            return _numpy(self.evaluate(point, parameters).rows[0])

    @property
    def channels(self) -> int:
        """Number of decision variables of one interval; sampling solvers colour their noise along the intervals."""
        return self.problem.control_size

    @property
    def besides_controls(self) -> IntArray:
        """Decision variables that are no controls, which sampling solvers cannot seek."""
        controls = np.concatenate([index.ravel() for index in self.layout.controls.values()])
        return np.flatnonzero(~np.isin(self.decided, controls))

    def policy(self, variables: FloatArray) -> ControlLaw | None:
        """Return the control law of decision variables `(size,)`, where that is what they are."""
        return None

    def variable_name(self, variable: int) -> str:
        """Return what a decision variable is, for messages."""
        return self.full_name(int(self.decided[variable]))

    def full_name(self, place: int) -> str:
        """Return what a variable of the transcription is, for messages."""
        name, at = self._places[place]
        return name if at < 0.0 else f"{name} at knot {at:.4g}"

    def variable_place(self, variable: int) -> tuple[str, float]:
        """Return the name of a decision variable and where it is, in intervals; -1 for what has no place."""
        return self._places[int(self.decided[variable])]

    @property
    def precise(self) -> "NonlinearProgram":
        """The same program in double precision, in which sparse derivatives are computed."""
        return self if self.problem.dtype == torch.float64 else self._in_double[0]

    @cached_property
    def _in_double(self) -> tuple["NonlinearProgram", Copies]:
        with noted_copies() as copies:
            return self.formulation.transcribe(self.problem.to(torch.float64), self.needs_value), copies

    @cached_property
    def _places(self) -> list[tuple[str, float]]:
        return variable_places(self.layout, self.problem, len(self.full_scale))

    def _has_rows(self, term: StageTerm) -> bool:
        """Return whether any row of a term remains; the dynamics have none in single shooting."""
        e = self.elimination
        return e is None or term is not self.constraints[0] or bool((~e.eliminated[1:]).any())

    def _row_places(self) -> Tensor | None:
        """Return which of the rows that `evaluate` computes remain, or None for all."""
        if self.elimination is None or not isinstance(self.assembly, CondensedAssembly):
            return None
        first = self.constraints[0]
        skipped = 0 if self._has_rows(first) else first.instances * first.rows
        return torch.as_tensor(self.assembly.row_places - skipped)


def _numpy(values: Tensor) -> FloatArray:
    return values.detach().cpu().to(torch.float64).numpy()
