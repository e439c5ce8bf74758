"""The quadratic program of a step of sequential quadratic programming, whose rows may be violated at a price."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import casadi
import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.formulations.excess import excess
from trajopt_sgp.solvers.casadi_callbacks import mirror, sparsity
from trajopt_sgp.solvers.quadratic_solvers import QuadraticProgram, QuadraticSolution, quadratic_solver
from trajopt_sgp.solvers.stages import Structure

Bounds = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Model:
    """A program near a point: f + g'd + d'Hd/2 and rows c + A d."""

    gradient: FloatArray
    """g, `(size,)`."""
    hessian: FloatArray
    """Nonzeros of both triangles of H."""
    rows: FloatArray
    """c, `(row_count,)`."""
    jacobian: FloatArray
    """Nonzeros of A."""


@dataclass(frozen=True, eq=False)
class Step:
    """What minimises a model."""

    direction: FloatArray
    """d, `(size,)`."""
    constraints: FloatArray
    """Multipliers of the rows, `(row_count,)`."""
    bounds: FloatArray
    """Multipliers of the bounds of d, `(size,)`."""


class ElasticProgram:
    """Minimise g'd + d'Hd/2 + penalty * |violations of the rows|_1 within bounds of d; always feasible.

    Violations are variables of their own, two for each row.

    Args:
        derivatives: of the program; its patterns and the bounds of its rows.
        solver: one of `QUADRATIC_SOLVERS`; all but Ipopt get a Hessian made convex.
        convexification: how, a strategy of CasADi's `convexify`.
        options: further ones of the solver.
        stop: asked in every iteration of Ipopt whether it shall end.
        structure: the stages, where the solver follows them; slack belongs to none, and elastic programs are for Ipopt.

    Raises:
        OptionError: the solver does not know one of its options.

    Source: R. Fletcher, Practical Methods of Optimization (1987), section 12.3.
    """

    def __init__(
        self,
        derivatives: ProgramDerivatives,
        solver: str,
        convexification: str,
        options: Mapping[str, Any],
        stop: Callable[[], bool],
        structure: Structure | None = None,
    ) -> None:
        self.size, self.row_count = derivatives.size, derivatives.row_count
        self.sides: Bounds = derivatives.bounds()
        """Bounds of the rows."""
        self._pattern = derivatives.jacobian_pattern
        self._mirror = mirror(derivatives.hessian_pattern)
        self._convexify = None if solver == "ipopt" else _convexification(derivatives, convexification)
        hessian = _symmetric(derivatives) if self._convexify is None else self._convexify.sparsity_out(0)
        self._rows, self._columns = (np.array(places) for places in hessian.get_triplet())
        slack = 2 * self.row_count
        identity = casadi.Sparsity.diag(self.row_count)
        jacobian = sparsity(self.row_count, self.size, self._pattern)
        self._rigid = quadratic_solver(solver, hessian, jacobian, options, stop, structure)
        elastic, soft = casadi.diagcat(hessian, casadi.Sparsity(slack, slack)), [jacobian, identity, identity]
        if structure is not None:
            solver, options = "ipopt", {}
        self._elastic = quadratic_solver(solver, elastic, casadi.horzcat(*soft), options, stop)

    def model(self, gradient: FloatArray, upper: FloatArray, rows: FloatArray, jacobian: FloatArray) -> Model:
        """Return the model with the nonzeros of the upper triangle of the Hessian, made convex where it must be."""
        hessian = upper[self._mirror]
        if self._convexify is not None:
            given = casadi.DM(self._convexify.sparsity_in(0), hessian)
            hessian = np.array(self._convexify(given).nonzeros(), dtype=np.float64)
        return Model(gradient, hessian, rows, jacobian)

    def solve(self, model: Model, bounds: Bounds, penalty: float) -> Step | None:
        """Return the step of a model within bounds of d, or None where the solver found none."""
        none, ones = np.zeros(2 * self.row_count), np.ones(self.row_count)
        outside = excess(model.rows, *self.sides)
        found = self._elastic(
            QuadraticProgram(
                gradient=np.concatenate([model.gradient, none + penalty]),
                hessian=model.hessian,
                jacobian=np.concatenate([model.jacobian, ones, -ones]),
                bounds=(np.concatenate([bounds[0], none]), np.concatenate([bounds[1], none + np.inf])),
                sides=(self.sides[0] - model.rows, self.sides[1] - model.rows),
                guess=np.concatenate([np.clip(0.0, *bounds), np.maximum(-outside, 0.0), np.maximum(outside, 0.0)]),
            )
        )
        return self._step(found, bounds)

    def solve_rigid(self, model: Model, bounds: Bounds) -> Step | None:
        """Return the step that violates no row, the same as the elastic one at a penalty above its multipliers.

        It is found with less work. None where there is none, or the solver found none.
        """
        sides = self.sides[0] - model.rows, self.sides[1] - model.rows
        guess = np.clip(np.zeros(self.size), *bounds)
        found = self._rigid(QuadraticProgram(model.gradient, model.hessian, model.jacobian, bounds, sides, guess))
        return self._step(found, bounds)

    def _step(self, found: QuadraticSolution | None, bounds: Bounds) -> Step | None:
        if found is None:
            return None
        return Step(np.clip(found[0][: self.size], *bounds), found[1], found[2][: self.size])

    def rows(self, model: Model, direction: FloatArray) -> FloatArray:
        """Return c + A d."""
        pattern = self._pattern
        change = np.bincount(pattern.rows, model.jacobian * direction[pattern.columns], self.row_count)
        return model.rows + change.astype(np.float64, copy=False)

    def change(self, model: Model, direction: FloatArray) -> float:
        """Return g'd + d'Hd/2."""
        curvature = model.hessian * direction[self._rows] * direction[self._columns]
        return float(model.gradient @ direction + 0.5 * curvature.sum())

    def total(self, rows: FloatArray) -> float:
        """Return the sum of the violations of rows."""
        return float(np.abs(excess(rows, *self.sides)).sum())


def _symmetric(derivatives: ProgramDerivatives) -> casadi.Sparsity:
    upper = sparsity(derivatives.size, derivatives.size, derivatives.hessian_pattern)
    return upper + upper.T


def _convexification(derivatives: ProgramDerivatives, strategy: str) -> casadi.Function:
    hessian = casadi.MX.sym("hessian", _symmetric(derivatives))
    return casadi.Function("convex", [hessian], [casadi.convexify(hessian, {"strategy": strategy})])
