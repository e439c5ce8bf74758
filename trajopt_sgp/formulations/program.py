"""The nonlinear program that a formulation makes and a solver solves."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.assembly import Assembly
from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm
from trajopt_sgp.problem import OptimalControlProblem, Row, Trajectory

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Search = Callable[[Tensor, Parameters], tuple[Tensor, Tensor]]
"""Scaled variables `(P, size)` to an objective `(P,)` to differentiate and a merit `(P,)` to compare iterates by."""


class Formulation(ABC):
    """A way to turn an optimal control problem into a nonlinear program."""

    batched: ClassVar[bool]
    """Whether first-order and sampling solvers can search a batch of programs at once."""

    @property
    def name(self) -> str:
        """Name for tables and messages."""
        return type(self).__name__

    @abstractmethod
    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> "NonlinearProgram":
        """Make the nonlinear program.

        Args:
            problem: in the precision in which the solver wants it evaluated.
            needs_value: whether the solver compares values, so that distances to data must offer one.
        """

    @abstractmethod
    def sample(self, trajectory: Trajectory, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Interpolate states `(k, n)` and controls `(k, m)` at times `(k,)` [s] as the formulation does."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NonlinearProgram:
    """Minimise the sum of costs over scaled variables w within bounds, subject to bounded rows.

    `state_index` and `control_index` say which variables are states and controls; `-1` marks one that is not decided.
    """

    problem: OptimalControlProblem
    """Where it comes from, in the precision of the solver."""
    formulation: Formulation
    """What made it."""
    needs_value: bool
    """Which face of the distances to data it holds."""
    scale: FloatArray
    """Units of the variables, `(size,)`."""
    control_index: IntArray
    """`(N, m)`."""
    state_index: IntArray | None
    """`(N+1, n)`, or None where states are not variables."""
    costs: tuple[StageTerm, ...]
    """Summed."""
    constraints: tuple[StageTerm, ...]
    """Rows."""
    search: Search | None = None
    """Objective and merit of a batch of points, where the formulation is batched."""
    rollout: Callable[[FloatArray, FloatArray], FloatArray] | None = None
    """Initial states `(..., n)`, controls `(..., N, m)` to states `(..., N+1, n)`, where states are not variables."""
    assembly: Assembly = field(init=False)
    """Sparse derivatives of the same terms."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "assembly", Assembly(self.size, self.costs, self.constraints))

    @property
    def size(self) -> int:
        """Number of decision variables."""
        return len(self.scale)

    def bounds(self, initial_state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the scaled variables; the initial state is held by its bounds."""
        sides = []
        for side in ("lower", "upper"):
            bound = np.empty(self.size)
            bound[self.control_index] = getattr(self.problem.control_box, side)
            if self.state_index is not None:
                bound[self.state_index] = getattr(self.problem.state_box, side)
                bound[self.state_index[0]] = initial_state
            sides.append(bound / self.scale)
        return sides[0], sides[1]

    def pack(self, trajectory: Trajectory) -> FloatArray:
        """Return scaled variables `(..., size)` of a trajectory."""
        variables = np.empty((*trajectory.controls.shape[:-2], self.size))
        variables[..., self.control_index] = trajectory.controls
        if self.state_index is not None:
            variables[..., self.state_index] = trajectory.states
        return variables / self.scale

    def unpack(self, variables: FloatArray, initial_state: FloatArray) -> Trajectory:
        """Return the trajectory of scaled variables `(..., size)`."""
        values = variables * self.scale
        controls = self.problem.control_box.clip(values[..., self.control_index])
        if self.state_index is not None:
            return Trajectory(values[..., self.state_index], controls, self.problem.time_step)
        if self.rollout is None:
            raise ValueError("a program without state variables needs a rollout")
        return Trajectory(self.rollout(initial_state, controls), controls, self.problem.time_step)

    def violated_rows(self, variables: FloatArray, parameters: Parameters) -> tuple[Row, ...]:
        """Return every row and bound that is violated at `variables` `(size,)`, in its own units, largest first."""
        lower, upper = self.assembly.bounds()
        values = self.assembly.rows(variables, parameters) if self.constraints else np.zeros(0)
        excess = np.maximum(np.maximum(lower - values, values - upper), 0.0) * self.assembly.row_unscale()
        rows = [Row(*self.assembly.row_name(int(i)), float(excess[i])) for i in np.flatnonzero(excess > 0.0)]
        initial = parameters.initial_state.detach().cpu().numpy().astype(np.float64)
        return tuple(sorted((*rows, *self._violated_bounds(variables, initial)), key=lambda row: -row.violation))

    def _violated_bounds(self, variables: FloatArray, initial_state: FloatArray) -> list[Row]:
        lower, upper = self.bounds(initial_state)
        excess = np.maximum(np.maximum(lower - variables, variables - upper), 0.0) * self.scale
        groups = [("control_bounds", self.control_index, self.problem.control_labels)]
        if self.state_index is not None:
            groups.append(("state_bounds", self.state_index, self.problem.state_labels))
        return [
            Row(f"{name}[{labels[i]}]", int(knot), float(excess[index[knot, i]]))
            for name, index, labels in groups
            for knot, i in np.argwhere(excess[index] > 0.0)
        ]
