"""The quadratic program of a step of sequential quadratic programming, whose rows may be violated at a price."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import casadi
import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.errors import OptionError
from trajopt_sgp.solvers.casadi_callbacks import NumericFunction, mirror, sparsity
from trajopt_sgp.solvers.nlpsol import GENERAL_OPTIONS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Bounds = tuple[FloatArray, FloatArray]

_CONSTANT = {"jac_c_constant": "yes", "jac_d_constant": "yes", "hessian_constant": "yes"}
_IPOPT = {
    "print_level": 0,
    "sb": "yes",
    "tol": 1e-10,
    "max_iter": 200,
    "bound_relax_factor": 0.0,
    "nlp_scaling_method": "none",
    "mu_strategy": "adaptive",
    **_CONSTANT,
}
_CONVEX_SOLVERS: Mapping[str, Mapping[str, Any]] = {
    "qrqp": {"print_iter": False, "print_header": False, "print_info": False, "print_lincomb": False},
    "osqp": {"osqp": {"verbose": False, "eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 20_000, "polish": True}},
    "qpoases": {"printLevel": "none"},
}
QP_SOLVERS = ("ipopt", *_CONVEX_SOLVERS)
"""Names of the solvers of quadratic programs."""


@dataclass(frozen=True, eq=False)
class Model:
    """A program near a point: f + g'd + d'Hd/2 and rows c + A d."""

    gradient: FloatArray
    """g, `(size,)`."""
    hessian: FloatArray
    """Nonzeros of the upper triangle of H."""
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
    """Multipliers of the bounds of the variables and of the trust region, `(size,)`."""


class ElasticProgram:
    """Minimise g'd + d'Hd/2 + penalty * |violation of the rows|_1 within bounds of d; always feasible.

    Violations are variables of their own, two for each row (Fletcher 1987, section 12.3: Sl1QP).

    Args:
        derivatives: of the program; its patterns and the bounds of its rows.
        solver: one of `QP_SOLVERS`; all but Ipopt get a Hessian made convex.
        convexification: how, a strategy of CasADi's `convexify`.
        options: further ones of the solver.
        stop: asked in every iteration of Ipopt whether it shall end.

    Raises:
        OptionError: the solver does not know one of its options.
    """

    def __init__(
        self,
        derivatives: ProgramDerivatives,
        solver: str,
        convexification: str,
        options: Mapping[str, Any],
        stop: Callable[[], bool],
    ) -> None:
        self.size, self.row_count = derivatives.size, derivatives.row_count
        self.jacobian_pattern, self.hessian_pattern = derivatives.jacobian_pattern, derivatives.hessian_pattern
        self.lower, self.upper = derivatives.bounds()
        self._stop = stop
        upper = sparsity(self.size, self.size, self.hessian_pattern)
        self._mirrored = upper + upper.T
        self._jacobian = sparsity(self.row_count, self.size, self.jacobian_pattern)
        self._mirror = mirror(self.hessian_pattern)
        make = self._interior_point
        try:
            self._solver = make(solver, convexification, options)
        except RuntimeError as error:
            lines = str(error).strip().splitlines()
            raise OptionError(f"SQP refused its options {dict(options)}: {lines[-1]}") from error

    def solve(self, model: Model, bounds: Bounds, penalty: float) -> Step | None:
        """Return the step of a model within bounds of d, or None where the solver found none."""
        slack = np.zeros(2 * self.row_count)
        gradient = np.concatenate([model.gradient, np.full(2 * self.row_count, penalty)])
        violation = violations(model.rows, (self.lower, self.upper))
        guess = np.concatenate([np.clip(0.0, *bounds), np.maximum(-violation, 0.0), np.maximum(violation, 0.0)])
        arguments = {
            "x0": guess,
            "lbx": np.concatenate([bounds[0], slack]),
            "ubx": np.concatenate([bounds[1], slack + np.inf]),
            "lbg": self.lower - model.rows,
            "ubg": self.upper - model.rows,
        }
        try:
            p = np.concatenate([gradient, model.hessian[self._mirror], model.jacobian])
            result = self._solver(p=p, **arguments)
        except RuntimeError:
            return None
        x, rows, bound = (np.array(result[name]).ravel() for name in ("x", "lam_g", "lam_x"))
        if not (np.isfinite(x).all() and np.isfinite(rows).all() and np.isfinite(bound).all()):
            return None
        return Step(np.clip(x[: self.size], *bounds), rows, bound[: self.size])

    def linear_rows(self, model: Model, direction: FloatArray) -> FloatArray:
        """Return c + A d."""
        pattern = self.jacobian_pattern
        return model.rows + np.bincount(pattern.rows, model.jacobian * direction[pattern.columns], self.row_count)

    def change(self, model: Model, direction: FloatArray) -> float:
        """Return g'd + d'Hd/2."""
        pattern = self.hessian_pattern
        factor = np.where(pattern.rows == pattern.columns, 0.5, 1.0)
        curvature = factor * model.hessian * direction[pattern.rows] * direction[pattern.columns]
        return float(model.gradient @ direction + curvature.sum())

    def _interior_point(self, name: str, convexification: str, options: Mapping[str, Any]) -> casadi.Function:
        m, total = self.row_count, self.size + 2 * self.row_count
        gradient = casadi.MX.sym("g", total)
        hessian = casadi.MX.sym("h", self._mirrored.nnz())
        jacobian = casadi.MX.sym("a", len(self.jacobian_pattern.rows))
        x, factor, multipliers = casadi.MX.sym("x", total), casadi.MX.sym("lam_f"), casadi.MX.sym("lam_g", m)
        p = casadi.vertcat(gradient, hessian, jacobian)
        curvature = casadi.diagcat(casadi.MX(self._mirrored, hessian), casadi.MX(2 * m, 2 * m))
        product = casadi.mtimes(curvature, x)
        f = casadi.dot(gradient, x) + 0.5 * casadi.dot(x, product)
        identity = casadi.MX.eye(m)
        slope = casadi.horzcat(casadi.MX(self._jacobian, jacobian), identity, -identity)
        g = casadi.mtimes(slope, x)
        xp, names = [x, p], ["x", "p"]
        upper = casadi.triu(factor * curvature)
        given = {
            "grad_f": casadi.Function("nlp_grad_f", xp, [f, gradient + product], names, ["f", "grad_f_x"]),
            "jac_g": casadi.Function("nlp_jac_g", xp, [g, slope], names, ["g", "jac_g_x"]),
            "hess_lag": casadi.Function(
                "nlp_hess_l", [*xp, factor, multipliers], [upper], [*names, "lam_f", "lam_g"], ["hess_gamma_x_x"]
            ),
            "iteration_callback": self._callback(total, p.numel()),
        }
        nlp = casadi.Function("nlp", xp, [f, g], names, ["f", "g"])
        settings = {**given, **GENERAL_OPTIONS, "no_nlp_grad": True, "ipopt": {**_IPOPT, **options}}
        return casadi.nlpsol("qp", "ipopt", nlp, settings)

    def _callback(self, total: int, parameters: int) -> NumericFunction:
        sizes = {"f": 1, "x": total, "lam_x": total, "lam_p": parameters}
        inputs = {n: casadi.Sparsity.dense(sizes.get(n, self.row_count), 1) for n in casadi.nlpsol_out()}
        self._held = NumericFunction(
            "stop", inputs, {"ret": casadi.Sparsity.dense(1, 1)}, lambda *values: (float(self._stop()),)
        )
        return self._held


def violations(values: FloatArray, bounds: Bounds) -> FloatArray:
    """Return by how much values are above (positive) or below (negative) their bounds."""
    lower, upper = bounds
    return np.maximum(values - upper, 0.0) - np.maximum(lower - values, 0.0)
