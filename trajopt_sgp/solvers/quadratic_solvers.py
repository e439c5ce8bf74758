"""Solvers of sparse quadratic programs from CasADi's wheel, all called alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import casadi
import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.errors import OptionError
from trajopt_sgp.solvers.casadi_callbacks import NumericFunction, sparsity
from trajopt_sgp.solvers.nlpsol import GENERAL_OPTIONS
from trajopt_sgp.solvers.stages import Structure

_IPOPT: Mapping[str, Any] = {
    "print_level": 0,
    "sb": "yes",
    "tol": 1e-9,
    "max_iter": 200,
    "bound_relax_factor": 0.0,
    "nlp_scaling_method": "none",
    "mu_strategy": "adaptive",
    "jac_c_constant": "yes",
    "jac_d_constant": "yes",
    "hessian_constant": "yes",
}
_CONVEX: Mapping[str, Mapping[str, Any]] = {
    "qrqp": {"print_iter": False, "print_header": False, "print_info": False, "print_lincomb": False},
    "osqp": {"osqp": {"verbose": False, "eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 20_000, "polish": True}},
    "qpoases": {"printLevel": "none"},
}
_QUIET: Mapping[str, Any] = {"print_time": False, "error_on_fail": False}
QUADRATIC_SOLVERS = ("ipopt", "hpipm", *_CONVEX)
"""Names that `quadratic_solver` knows."""


@dataclass(frozen=True, eq=False)
class QuadraticProgram:
    """Minimise g'x + x'Hx/2 with bounds on x and A x."""

    gradient: FloatArray
    """g."""
    hessian: FloatArray
    """Nonzeros of both triangles of H."""
    jacobian: FloatArray
    """Nonzeros of A."""
    bounds: tuple[FloatArray, FloatArray]
    """Of x."""
    sides: tuple[FloatArray, FloatArray]
    """Of A x."""
    guess: FloatArray
    """Where to begin."""


QuadraticSolution = tuple[FloatArray, FloatArray, FloatArray]
"""x, multipliers of the rows, multipliers of the bounds."""


@runtime_checkable
class QuadraticSolver(Protocol):
    """Returns the solution of a program, or None where it found none."""

    def __call__(self, program: QuadraticProgram) -> QuadraticSolution | None:
        """Solve a program."""
        ...


def quadratic_solver(
    name: str,
    hessian: casadi.Sparsity,
    jacobian: casadi.Sparsity,
    options: Mapping[str, Any],
    stop: Callable[[], bool],
    structure: Structure | None = None,
) -> QuadraticSolver:
    """Return a solver for programs of one sparsity.

    Args:
        name: one of `QUADRATIC_SOLVERS`; Ipopt finds local solutions of programs that are not convex, the others need
            convex ones.
        hessian: of H, both triangles.
        jacobian: of A.
        options: further ones of the solver.
        stop: asked in every iteration of Ipopt whether it shall end.
        structure: the stages, which HPIPM needs and the others do not see.

    Raises:
        OptionError: the solver does not know one of its options; tells what CasADi says.
    """
    try:
        if name == "ipopt":
            return InteriorPoint(hessian, jacobian, options, stop)
        if name == "hpipm" and structure is not None:
            return Stagewise(structure, hessian, jacobian, options)
        return Convex(name, hessian, jacobian, options)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise OptionError(f"SQP refused its options {dict(options)}: {lines[-1]}") from error


class InteriorPoint:
    """Ipopt, for which the numbers of a quadratic program are parameters."""

    def __init__(
        self,
        hessian: casadi.Sparsity,
        jacobian: casadi.Sparsity,
        options: Mapping[str, Any],
        stop: Callable[[], bool],
    ) -> None:
        nlp, derivatives = _functions(hessian, jacobian)
        self._callback = _stop_callback(nlp, stop)  # CasADi keeps no reference to the Python object
        settings: dict[str, Any] = {**GENERAL_OPTIONS, **derivatives, "iteration_callback": self._callback}
        settings |= {"no_nlp_grad": True, "ipopt": {**_IPOPT, **options}}
        self._solver = casadi.nlpsol("quadratic", "ipopt", nlp, settings)

    def __call__(self, program: QuadraticProgram) -> QuadraticSolution | None:
        """Solve a program."""
        (lbx, ubx), (lbg, ubg) = program.bounds, program.sides
        p = np.concatenate([program.gradient, program.hessian, program.jacobian])
        try:
            result = self._solver(x0=program.guess, p=p, lbx=lbx, ubx=ubx, lbg=lbg, ubg=ubg)
        except RuntimeError:
            return None
        return _finite(result["x"], result["lam_g"], result["lam_x"])


class Convex:
    """A solver of convex quadratic programs by the name of its plugin."""

    def __init__(
        self, name: str, hessian: casadi.Sparsity, jacobian: casadi.Sparsity, options: Mapping[str, Any]
    ) -> None:
        own = {**_QUIET, **_CONVEX[name], **options}
        self._hessian, self._jacobian = hessian, jacobian
        self._solver = casadi.conic("quadratic", name, {"h": hessian, "a": jacobian}, own)

    def __call__(self, program: QuadraticProgram) -> QuadraticSolution | None:
        """Solve a program."""
        (lbx, ubx), (lba, uba) = program.bounds, program.sides
        h, a = casadi.DM(self._hessian, program.hessian), casadi.DM(self._jacobian, program.jacobian)
        try:
            result = self._solver(h=h, g=program.gradient, a=a, lba=lba, uba=uba, lbx=lbx, ubx=ubx, x0=program.guess)
        except RuntimeError:
            return None
        return _finite(result["x"], result["lam_a"], result["lam_x"])


class Stagewise:
    """HPIPM: interior points for convex programs whose linear algebra is a recursion over stages.

    Source: G. Frison and M. Diehl, HPIPM: a high-performance quadratic programming framework for model predictive
    control, IFAC 2020.
    """

    def __init__(
        self,
        structure: Structure,
        hessian: casadi.Sparsity,
        jacobian: casadi.Sparsity,
        options: Mapping[str, Any],
    ) -> None:
        rows, columns = (np.array(places) for places in jacobian.get_triplet())
        self._structure, self._hessian = structure, hessian
        self._pattern = Pattern.of(structure.places[rows], columns)
        self._jacobian = sparsity(*jacobian.shape, self._pattern)
        own = {**_QUIET, **structure.options(), "hpipm": dict(options)}
        self._solver = casadi.conic("quadratic", "hpipm", {"h": hessian, "a": self._jacobian}, own)

    def __call__(self, program: QuadraticProgram) -> QuadraticSolution | None:
        """Solve a program."""
        (lbx, ubx), (lba, uba) = program.bounds, (side[self._structure.sequence] for side in program.sides)
        h = casadi.DM(self._hessian, program.hessian)
        a = casadi.DM(self._jacobian, self._pattern.assemble([program.jacobian]))
        result = self._solver(h=h, g=program.gradient, a=a, lba=lba, uba=uba, lbx=lbx, ubx=ubx, x0=program.guess)
        found = _finite(result["x"], result["lam_a"], result["lam_x"]) if self._solver.stats()["success"] else None
        return found and (found[0], found[1][self._structure.places], found[2])


def _finite(*parts: casadi.DM) -> QuadraticSolution | None:
    x, rows, bounds = (np.array(part, dtype=np.float64).ravel() for part in parts)
    return (x, rows, bounds) if all(bool(np.isfinite(part).all()) for part in (x, rows, bounds)) else None


def _functions(
    hessian: casadi.Sparsity, jacobian: casadi.Sparsity
) -> tuple[casadi.Function, dict[str, casadi.Function]]:
    """Return the program with parameters g, nonzeros of H, nonzeros of A, and its derivatives by option name."""
    (rows, size), names = jacobian.shape, ["x", "p"]
    offsets = np.cumsum([0, size, hessian.nnz(), jacobian.nnz()]).tolist()
    x, p = casadi.MX.sym("x", size), casadi.MX.sym("p", offsets[-1])
    factor, multipliers = casadi.MX.sym("factor"), casadi.MX.sym("multipliers", rows)
    gradient, h, a = casadi.vertsplit(p, offsets)
    second, slope = casadi.MX(hessian, h), casadi.MX(jacobian, a)
    push = casadi.mtimes(second, x)
    f, g = casadi.dot(gradient, x) + 0.5 * casadi.dot(x, push), casadi.mtimes(slope, x)
    derivatives = {
        "grad_f": casadi.Function("nlp_grad_f", [x, p], [f, gradient + push], names, ["f", "grad_f_x"]),
        "jac_g": casadi.Function("nlp_jac_g", [x, p], [g, slope], names, ["g", "jac_g_x"]),
        "hess_lag": casadi.Function(
            "nlp_hess_l",
            [x, p, factor, multipliers],
            [casadi.triu(factor * second)],
            [*names, "lam_f", "lam_g"],
            ["hess_gamma_x_x"],
        ),
    }
    return casadi.Function("nlp", [x, p], [f, g], names, ["f", "g"]), derivatives


def _stop_callback(nlp: casadi.Function, stop: Callable[[], bool]) -> NumericFunction:
    """Return what Ipopt calls after every iteration."""
    x, p, rows = nlp.size1_in("x"), nlp.size1_in("p"), nlp.size1_out("g")
    sizes = {"x": x, "f": 1, "g": rows, "lam_x": x, "lam_g": rows, "lam_p": p}
    inputs = {name: casadi.Sparsity.dense(sizes[name], 1) for name in casadi.nlpsol_out()}
    return NumericFunction("stop", inputs, {"ret": casadi.Sparsity.dense(1, 1)}, lambda *_: (float(stop()),))
