"""A program in single shooting, and its Lagrangian to second order, knot by knot, for recursions over the stages.

Letters: N intervals, n states, m controls, R rows of constraints; all in the scaled variables of the program.
"""

from dataclasses import dataclass, replace

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Parameters


@dataclass(frozen=True, eq=False)
class StageModel:
    """How deviations from a plan that obeys the dynamics move on, and what they change.

    The multipliers of the dynamics make the Lagrangian stationary in the states: only controls have a linear term.
    """

    by_state: FloatArray
    """A_t, `(N, n, n)`."""
    by_control: FloatArray
    """B_t, `(N, n, m)`."""
    curvature: FloatArray
    """Second derivatives of the Lagrangian by state and control of each knot, `(N+1, n+m, n+m)`."""
    slope: FloatArray
    """Derivative of the objective by the controls, the states following, `(N, m)`."""

    @property
    def finite(self) -> bool:
        """Whether all of it is."""
        parts = self.by_state, self.by_control, self.curvature, self.slope
        return all(bool(np.isfinite(part).all()) for part in parts)

    def convex(self) -> "StageModel":
        """Return the model with the negative eigenvalues of each knot's curvature set to zero."""
        values, vectors = np.linalg.eigh(self.curvature)
        clipped = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.transpose(0, 2, 1)
        return replace(self, curvature=clipped)


@dataclass(frozen=True, eq=False)
class RowSlopes:
    """Derivatives of the rows of the constraints by state and control of the knot that each belongs to."""

    knots: IntArray
    """`(R,)`."""
    slopes: FloatArray
    """`(R, n+m)`."""

    def add_gradient(self, gradient: FloatArray, multipliers: FloatArray) -> None:
        """Add multipliers . rows to a gradient `(N+1, n+m)`."""
        np.add.at(gradient, self.knots, multipliers[:, None] * self.slopes)

    def add_squares(self, curvature: FloatArray, weights: FloatArray) -> None:
        """Add the curvature of half the weighted squares of the rows, to first order, to blocks `(N+1, n+m, n+m)`."""
        active = np.flatnonzero(weights)
        slopes = self.slopes[active]
        np.add.at(curvature, self.knots[active], weights[active, None, None] * slopes[:, :, None] * slopes[:, None, :])


class StageDerivatives:
    """Reads the derivatives of a program in single shooting as those of a chain of stages.

    Args:
        program: its terms are functions of one knot each.
        exact: whether second derivatives are all there, or as Gauss and Newton have them.
    """

    def __init__(self, program: NonlinearProgram, exact: bool) -> None:
        self._assembly, self._exact = program.full_assembly, exact
        self._horizon, self._states = program.problem.horizon, program.problem.state_size
        self._block = program.problem.state_size + program.problem.control_size
        self._defects = self._horizon * self._states
        self.row_count = self._assembly.row_count - self._defects
        """R, the rows of the dynamics left out."""
        self.row_bounds = tuple(side[self._defects :] for side in self._assembly.bounds())
        """Lower and upper bounds of the rows, `(R,)` each."""

    def objective(self, full: FloatArray, parameters: Parameters) -> float:
        """Return the sum of the costs at all variables `(full size,)` of a plan."""
        return self._assembly.objective(full, parameters)

    def rows(self, full: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled rows `(R,)`."""
        return self._assembly.rows(full, parameters)[self._defects :] if self.row_count else np.zeros(0)

    def row_slopes(self, full: FloatArray, parameters: Parameters) -> RowSlopes:
        """Return the derivatives of the rows."""
        slopes, knots = np.zeros((self.row_count, self._block)), np.zeros(self.row_count, np.int64)
        if self.row_count:
            pattern, values = self._assembly.jacobian_pattern, self._assembly.jacobian(full, parameters)[1]
            chosen = np.flatnonzero(pattern.rows >= self._defects)
            rows, columns = pattern.rows[chosen] - self._defects, pattern.columns[chosen]
            slopes[rows, columns % self._block] = values[chosen]
            knots[rows] = columns // self._block
        return RowSlopes(knots, slopes)

    def model(
        self, full: FloatArray, parameters: Parameters, multipliers: FloatArray, penalties: FloatArray
    ) -> StageModel:
        """Return the Lagrangian to second order at a plan that obeys the dynamics.

        Args:
            full: all variables `(full size,)`.
            parameters: of the solve.
            multipliers: of the rows, `(R,)`.
            penalties: weights of half the squares of the rows, `(R,)`.
        """
        n, rows = self._states, self.row_slopes(full, parameters)
        gradient = np.zeros((self._horizon + 1, self._block))
        gradient.ravel()[: len(full)] = self._assembly.gradient(full, parameters)[1]
        rows.add_gradient(gradient, multipliers)
        blocks = self._assembly.blocks(self._assembly.constraints[0], full, parameters)
        by_state, by_control = blocks[:, :, :n], blocks[:, :, n:]
        slope = _follow_states(gradient, by_state, by_control)
        every = np.concatenate([gradient[1:, :n].ravel(), multipliers])
        curvature = self._blocks(self._assembly.hessian(full, 1.0, every, parameters, self._exact))
        rows.add_squares(curvature, penalties)
        return StageModel(by_state, by_control, curvature, slope)

    def row_slope(
        self, full: FloatArray, parameters: Parameters, model: StageModel, multipliers: FloatArray
    ) -> FloatArray:
        """Return the derivative of multipliers . rows by the controls, the states following, `(N, m)`.

        Args:
            full: all variables `(full size,)` of a plan.
            parameters: of the solve.
            model: at the plan.
            multipliers: of the rows, `(R,)`.
        """
        gradient = np.zeros((self._horizon + 1, self._block))
        self.row_slopes(full, parameters).add_gradient(gradient, multipliers)
        return _follow_states(gradient, model.by_state, model.by_control)

    def _blocks(self, values: FloatArray) -> FloatArray:
        """Return the nonzeros of the upper triangle of the Hessian as whole blocks, one for each knot."""
        pattern, block = self._assembly.hessian_pattern, self._block
        knots, first, second = pattern.rows // block, pattern.rows % block, pattern.columns % block
        blocks = np.zeros((self._horizon + 1, block, block))
        blocks[knots, first, second] = values
        blocks[knots, second, first] = values
        return blocks


def _follow_states(gradient: FloatArray, by_state: FloatArray, by_control: FloatArray) -> FloatArray:
    """Return a gradient `(N+1, n+m)` by the controls, the states following, `(N, m)`; its states become adjoints."""
    n = by_state.shape[1]
    adjoint = gradient[:, :n]
    for t in range(len(by_state) - 1, 0, -1):
        adjoint[t] += by_state[t].T @ adjoint[t + 1]
    slope: FloatArray = gradient[:-1, n:] + (adjoint[1:, None, :] @ by_control)[:, 0]
    return slope
