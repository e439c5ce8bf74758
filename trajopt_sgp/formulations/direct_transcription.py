"""Direct transcription: states and controls are variables, the discrete dynamics are equality defects."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm
from trajopt_sgp.formulations.interpolation import sample_zero_order_hold
from trajopt_sgp.formulations.program import Formulation, NonlinearProgram
from trajopt_sgp.formulations.scaling import control_scale, state_scale
from trajopt_sgp.problem import Constraint, Face, OptimalControlProblem, StageConstraint, TerminalCost, Trajectory
from trajopt_sgp.problem.evaluation import count_rows
from trajopt_sgp.problem.probing import constraint_bounds

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class DirectTranscription(Formulation):
    """Variables x_0, u_0, x_1, ..., u_{N-1}, x_N in this order; defects f(x_t, u_t) - x_{t+1} = 0.

    Source: J. T. Betts, Practical Methods for Optimal Control Using Nonlinear Programming, chapter 4.
    """

    batched: ClassVar[bool] = False

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program with K = N instances of every stage term."""
        layout = _Layout.of(problem)
        faces = [(term.name, term.face(needs_value)) for term in problem.stage_terms]
        costs = [layout.stage_cost(name, face) for name, face in faces]
        costs += [layout.terminal_cost(term) for term in problem.terminal_terms]
        constraints = [layout.defects(), *(layout.constraint(term) for term in problem.constraint_terms)]
        return NonlinearProgram(
            problem=problem,
            formulation=self,
            needs_value=needs_value,
            scale=np.concatenate([np.tile(layout.scale, problem.horizon), layout.scale[: problem.state_size]]),
            control_index=layout.controls,
            state_index=layout.states,
            costs=tuple(costs),
            constraints=tuple(constraints),
        )

    def sample(self, trajectory: Trajectory, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hold the controls over each interval; interpolate the states linearly, since only the knots are modelled."""
        return sample_zero_order_hold(trajectory, times)


@dataclass(frozen=True)
class _Layout:
    """Where the variables of each knot stand, and the terms on them."""

    problem: OptimalControlProblem
    states: IntArray
    controls: IntArray
    scale: FloatArray

    @classmethod
    def of(cls, problem: OptimalControlProblem) -> "_Layout":
        n, m, horizon = problem.state_size, problem.control_size, problem.horizon
        first = (n + m) * np.arange(horizon + 1, dtype=np.int64)
        states = first[:, None] + np.arange(n)
        controls = first[:-1, None] + n + np.arange(m)
        return cls(problem, states, controls, np.concatenate([state_scale(problem), control_scale(problem)]))

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[..., : self.problem.state_size], z[..., self.problem.state_size :]

    def stage_cost(self, name: str, face: Face) -> StageTerm:
        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            return face.function(*self.split(z), parameters.progress)

        return StageTerm(name, cost, **self._stages())

    def terminal_cost(self, term: TerminalCost) -> StageTerm:
        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            return term.weight * term.function(z)

        return StageTerm(term.name, cost, **self._last())

    def defects(self) -> StageTerm:
        problem = self.problem

        def step(z: Tensor, parameters: Parameters) -> Tensor:
            return problem.dynamics(*self.split(z))

        units, zeros = state_scale(problem), np.zeros(problem.state_size)
        return StageTerm(
            "defect",
            step,
            **self._stages(),
            row_names=problem.state_labels,
            row_scale=1.0 / units,
            lower=zeros,
            upper=zeros,
            linear=-np.eye(problem.state_size),
            linear_index=self.states[1:],
            linear_scale=units,
        )

    def constraint(self, constraint: Constraint) -> StageTerm:
        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            if isinstance(constraint, StageConstraint):
                return constraint.function(*self.split(z))
            return constraint.function(z)

        count = count_rows(self.problem, constraint)
        lower, upper = constraint_bounds(constraint, count)
        return StageTerm(
            constraint.name,
            rows,
            **(self._stages() if isinstance(constraint, StageConstraint) else self._last()),
            row_names=tuple(str(i) for i in range(count)),
            row_scale=np.ones(count),
            lower=lower,
            upper=upper,
        )

    def _stages(self) -> dict[str, Any]:
        index = np.concatenate([self.states[:-1], self.controls], axis=1)
        return {"index": index, "scale": self.scale, "knots": np.arange(self.problem.horizon)}

    def _last(self) -> dict[str, Any]:
        n = self.problem.state_size
        return {"index": self.states[-1:], "scale": self.scale[:n], "knots": np.array([self.problem.horizon])}
