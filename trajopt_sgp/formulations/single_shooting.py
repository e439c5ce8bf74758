"""Single shooting: the controls are the only variables, the states follow by rolling the model out."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.rollout import roll_out, roll_out_once_differentiable
from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm, TermFunction
from trajopt_sgp.formulations.interpolation import sample_zero_order_hold
from trajopt_sgp.formulations.program import Formulation, NonlinearProgram
from trajopt_sgp.formulations.scaling import control_scale, state_scale
from trajopt_sgp.problem import Constraint, Face, OptimalControlProblem, StageConstraint, Trajectory
from trajopt_sgp.problem.evaluation import count_rows, evaluate_constraint
from trajopt_sgp.problem.probing import constraint_bounds

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SingleShooting(Formulation):
    """Variables u_0, ..., u_{N-1}; state bounds and constraints become rows of the whole rollout."""

    batched: ClassVar[bool] = True

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program with one instance (K = 1) of the total cost."""
        shooting = _Shooting(problem, [term.face(needs_value) for term in problem.stage_terms])
        return NonlinearProgram(
            problem=problem,
            formulation=self,
            needs_value=needs_value,
            scale=np.tile(control_scale(problem), problem.horizon),
            control_index=np.arange(problem.horizon * problem.control_size).reshape(problem.horizon, -1),
            state_index=None,
            costs=(shooting.total_cost(),),
            constraints=tuple(shooting.constraints()),
            search=shooting.search,
            rollout=shooting.rollout,
        )

    def sample(self, trajectory: Trajectory, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hold the controls over each interval; interpolate the states linearly, since only the knots are modelled."""
        return sample_zero_order_hold(trajectory, times)


@dataclass(frozen=True)
class _Shooting:
    problem: OptimalControlProblem
    faces: list[Face]

    def rollout(self, initial_state: FloatArray, controls: FloatArray) -> FloatArray:
        dtype = self.problem.dtype
        with torch.no_grad():
            start, inputs = torch.tensor(initial_state, dtype=dtype), torch.tensor(controls, dtype=dtype)
            states = roll_out(self.problem.dynamics, start, inputs)
        return states.to(torch.float64).numpy()

    def search(self, variables: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        scale = torch.as_tensor(control_scale(self.problem), dtype=variables.dtype)
        controls = variables.reshape(*variables.shape[:-1], self.problem.horizon, -1) * scale
        states = roll_out_once_differentiable(self.problem.dynamics, parameters.initial_state, controls)
        objective = self._terminal(states)
        merit = objective.detach()
        for face in self.faces:
            objective = objective + face.function(states[..., :-1, :], controls, parameters.progress).sum(-1)
            with torch.no_grad():
                merit = merit + face.merit(states[..., :-1, :], controls, 1.0).sum(-1)
        return objective, merit

    def total_cost(self) -> StageTerm:
        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            states, controls = self._unroll(z, parameters)
            total = self._terminal(states)
            for face in self.faces:
                total = total + face.function(states[..., :-1, :], controls, parameters.progress).sum(-1)
            return total

        return StageTerm("total_cost", cost, **self._place())

    def constraints(self) -> list[StageTerm]:
        bounds = [self._state_bounds()] if self.problem.state_box.bounded else []
        return bounds + [self._constraint(constraint) for constraint in self.problem.constraint_terms]

    def _state_bounds(self) -> StageTerm:
        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            return self._unroll(z, parameters)[0][..., 1:, :].flatten(-2)

        box, knots = self.problem.state_box, np.arange(1, self.problem.horizon + 1)
        labels, scale = self.problem.state_labels, 1.0 / state_scale(self.problem)
        return self._rows("state_bounds", rows, labels, knots, scale, box.lower, box.upper)

    def _constraint(self, constraint: Constraint) -> StageTerm:
        problem, at_stages = self.problem, isinstance(constraint, StageConstraint)

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            states, controls = self._unroll(z, parameters)
            return evaluate_constraint(constraint, states, controls).flatten(-2)

        count = count_rows(problem, constraint)
        knots = np.arange(problem.horizon) if at_stages else np.array([problem.horizon])
        labels = tuple(str(i) for i in range(count))
        lower, upper = constraint_bounds(constraint, count)
        return self._rows(constraint.name, rows, labels, knots, np.ones(count), lower, upper)

    def _rows(
        self,
        name: str,
        function: TermFunction,
        labels: tuple[str, ...],
        knots: IntArray,
        scale: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
    ) -> StageTerm:
        return StageTerm(
            name,
            function,
            **self._place(),
            row_names=labels * len(knots),
            row_knots=np.repeat(knots, len(labels)),
            row_scale=np.tile(scale, len(knots)),
            lower=np.tile(lower, len(knots)),
            upper=np.tile(upper, len(knots)),
        )

    def _place(self) -> dict[str, Any]:
        count = self.problem.horizon * self.problem.control_size
        scale = np.tile(control_scale(self.problem), self.problem.horizon)
        return {"index": np.arange(count)[None], "scale": scale, "knots": np.zeros(1, np.int64)}

    def _unroll(self, z: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        controls = z.reshape(*z.shape[:-1], self.problem.horizon, -1)
        return roll_out(self.problem.dynamics, parameters.initial_state, controls), controls

    def _terminal(self, states: Tensor) -> Tensor:
        last = states[..., -1, :]
        total = states.new_zeros(states.shape[:-2])
        for term in self.problem.terminal_terms:
            total = total + term.weight * term.function(last)
        return total
