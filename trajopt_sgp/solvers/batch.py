"""What solvers share that search a batch of programs in torch: bounds, evaluation of some programs, limits, log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.assembly import Assembly
from trajopt_sgp.derivatives.condensed import CondensedAssembly
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.formulations.evaluation import Evaluation, Weigh
from trajopt_sgp.formulations.excess import tensor_excess
from trajopt_sgp.formulations.scaling import is_far
from trajopt_sgp.problem.parameters import Parameters
from trajopt_sgp.solvers.base import Start
from trajopt_sgp.solvers.limits import Limits


@dataclass(frozen=True, eq=False)
class ProgramBatch:
    """P programs that differ in initial state and guess, in the precision of their problem."""

    program: NonlinearProgram
    """What is solved."""
    start: Start
    """Guesses, parameters and time limit."""
    guess: Tensor = field(init=False)
    """Within the bounds, `(P, size)`."""
    lower: Tensor = field(init=False)
    """Bounds of the variables, `(P, size)`."""
    upper: Tensor = field(init=False)
    """Bounds of the variables, `(P, size)`."""
    row_lower: Tensor = field(init=False)
    """Bounds of the rows, `(R,)`."""
    row_upper: Tensor = field(init=False)
    """Bounds of the rows, `(R,)`."""
    limits: Limits = field(init=False)
    """When the solve must end; its time runs."""

    def __post_init__(self) -> None:
        self.program.restart()
        dtype, set_field = self.program.problem.dtype, object.__setattr__
        set_field(self, "limits", Limits(self.start.time_limit))
        bounds = self.program.bounds(self.start.parameters.initial_state.to(torch.float64).numpy())
        guess = torch.as_tensor(self.start.variables, dtype=dtype)
        for name, side in zip(("lower", "upper"), bounds, strict=True):
            set_field(self, name, torch.as_tensor(side, dtype=dtype).expand_as(guess))
        for name, side in zip(("row_lower", "row_upper"), self.program.assembly.bounds(), strict=True):
            set_field(self, name, torch.as_tensor(side, dtype=dtype))
        set_field(self, "guess", self.project(guess))

    @property
    def count(self) -> int:
        """Number of programs P."""
        return len(self.guess)

    def project(self, variables: Tensor, members: Tensor | None = None) -> Tensor:
        """Return variables `(p, size)` of all programs, or of some, moved within their bounds."""
        lower, upper = (self.lower, self.upper) if members is None else (self.lower[members], self.upper[members])
        return torch.minimum(torch.maximum(variables, lower), upper)

    def within_bounds(self, variables: Tensor) -> FloatArray:
        """Return variables `(P, size)` in float64, where a bound in single precision may lie outside the true one."""
        lower, upper = self.program.bounds(self.start.parameters.initial_state.to(torch.float64).numpy())
        clipped: FloatArray = np.clip(variables.detach().to(torch.float64).numpy(), lower, upper)
        return clipped

    def evaluate(self, variables: Tensor, progress: float, members: Tensor | None = None) -> Evaluation:
        """Evaluate variables `(p, size)` of all programs, or of the programs `members` `(p,)`, repetitions allowed."""
        return self.program.evaluate(variables, self._parameters(progress, members))

    def evaluate_with_gradient(
        self, variables: Tensor, progress: float, members: Tensor | None = None, weigh: Weigh | None = None
    ) -> tuple[Evaluation, Tensor]:
        """Evaluate the same with the gradient `(p, size)` of the objective, or of what `weigh` makes of it all."""
        return self.program.evaluate_with_gradient(variables, self._parameters(progress, members), weigh)

    def _parameters(self, progress: float, members: Tensor | None) -> Parameters:
        parameters = self.start.parameters
        if members is None and progress == parameters.progress:
            return parameters
        states = parameters.initial_state if members is None else parameters.initial_state[members]
        return replace(parameters, initial_state=states, progress=progress)

    def merit(self, variables: Tensor, progress: float, members: Tensor | None = None) -> Tensor:
        """Return the merit `(p,)` of the same at a place on annealing schedules."""
        return self.program.merit(variables, self._parameters(progress, members))

    def violation(self, rows: Tensor) -> Tensor:
        """Return the largest violation of rows `(p, R)` in each program, `(p,)`."""
        if not len(self.row_lower):
            return rows.new_zeros(len(rows))
        return tensor_excess(rows, self.row_lower, self.row_upper).abs().amax(-1)

    def far_from_rows(self, points: Tensor, feasibility: float) -> Tensor:
        """Return which programs must move far from points `(P, size)` to meet their rows, by the slopes there, `(P,)`.

        Args:
            points: variables.
            feasibility: largest violation of a scaled row that holds; more than that is found without slopes.
        """
        far = torch.zeros(self.count, dtype=torch.bool)
        if not len(self.row_lower):
            return far
        rounding = torch.finfo(self.program.problem.coarsest_dtype).eps
        with torch.no_grad():
            rows = self.evaluate(points, 1.0).rows
        outside, violation = tensor_excess(rows, self.row_lower, self.row_upper).abs(), self.violation(rows)
        for k in ((violation > 0.0) & (violation <= feasibility)).nonzero()[:, 0].tolist():
            slopes = self._row_slopes(points[k], k)
            far[k] = is_far(outside[k].to(torch.float64).numpy(), slopes, feasibility, rounding)
        return far

    def _row_slopes(self, point: Tensor, member: int) -> FloatArray:
        """Return the largest derivative of each row by a variable of the transcription, `(R,)`; NaN if unknown."""
        program, parameters = self.program.precise, self.start.one(member).to(torch.float64)
        full = program.full_assembly
        places: slice | IntArray = slice(None)
        if isinstance(program.assembly, CondensedAssembly):
            places = program.assembly.row_places
        elif not isinstance(program.assembly, Assembly):
            # rows of many plans, made by one policy
            return np.full(len(self.row_lower), np.nan)
        plan = program.lift(point.to(torch.float64).numpy(), parameters)
        slopes = np.zeros(full.row_count)
        np.maximum.at(slopes, full.jacobian_pattern.rows, np.abs(full.jacobian(plan, parameters)[1]))
        return slopes[places]

    def jacobian(self, point: Tensor, member: int) -> Tensor:
        """Return the Jacobian of the rows of one program at a point `(size,)`, dense `(R, size)`."""
        assembly, parameters = self.program.precise.assembly, self.start.one(member).to(torch.float64)
        values = assembly.jacobian(point.to(torch.float64).numpy(), parameters)[1]
        dense = np.zeros((assembly.row_count, assembly.size))
        dense[assembly.jacobian_pattern.rows, assembly.jacobian_pattern.columns] = values
        return torch.as_tensor(dense, dtype=point.dtype)


class IterationLog:
    """Numbers of every iteration for all programs, kept as tensors until the end."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._shared: list[Mapping[str, Any]] = []
        self._columns: list[Mapping[str, Tensor]] = []
        self._live: list[Tensor] = []

    def add(self, live: Tensor, shared: Mapping[str, Any], **columns: Tensor) -> None:
        """Append an iteration of the programs `live` `(P,)`; columns are `(P,)`, `shared` is the same for all."""
        self._live.append(live.detach().clone())
        self._shared.append(shared)
        self._columns.append({name: column.detach().clone() for name, column in columns.items()})

    def of_programs(self) -> list[Sequence[Mapping[str, Any]]]:
        """Return the log of each program."""
        logs: list[Sequence[Mapping[str, Any]]] = []
        live = torch.stack(self._live).T.tolist() if self._live else [[]] * self._count
        names = list(self._columns[0]) if self._columns else []
        tables = {name: torch.stack([entry[name] for entry in self._columns]).T.tolist() for name in names}
        for p in range(self._count):
            rows = [i for i, alive in enumerate(live[p]) if alive]
            logs.append([{**self._shared[i], **{name: tables[name][p][i] for name in names}} for i in rows])
        return logs
