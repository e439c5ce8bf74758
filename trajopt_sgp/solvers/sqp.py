"""Sequential quadratic programming through CasADi."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Minimiser, Solver, check_choice, check_counts, check_positive
from trajopt_sgp.solvers.casadi_callbacks import ProgramFunctions
from trajopt_sgp.solvers.elastic_program import ElasticProgram
from trajopt_sgp.solvers.nlpsol import FEASIBILITY, Nlpsol, schedule
from trajopt_sgp.solvers.remembered import RememberedDerivatives
from trajopt_sgp.solvers.trust_region import TrustRegion

_QUIET: Mapping[str, Mapping[str, Any]] = {
    "qrqp": {"print_iter": False, "print_header": False, "print_info": False, "print_lincomb": False},
    "osqp": {"osqp": {"verbose": False, "eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 20_000, "polish": True}},
    "qpoases": {"printLevel": "none"},
}

_STATUS = {
    "Solve_Succeeded": Status.SOLVED,
    "Maximum_Iterations_Exceeded": Status.ITERATION_LIMIT,
    "User_Requested_Stop": Status.INTERRUPTED,
    "Non_Regular_Sensitivities": Status.NOT_FINITE,
}


@dataclass(frozen=True)
class SQP(Solver):
    """A line-search SQP method with the l1 merit function (Nocedal and Wright 2006, chapter 18).

    Indefinite blocks of the Hessian are made positive semidefinite, so that convergence is linear where the problem is
    not convex: there Ipopt needs fewer iterations. It is at its best when it starts near the solution.
    """

    tolerance: float = 1e-8
    """Of feasibility and of the gradient of the Lagrangian."""
    max_iterations: int = 300
    """Per stage."""
    stages: int = 4
    """Places on the schedule of an annealed distance to data; 1 solves at its end only."""
    stage_tolerance: float = 1e-3
    """Of the stages before the last."""
    hessian: Literal["exact", "gauss-newton"] = "exact"
    """Second derivatives: all of them, or those that squares of residuals and other costs give."""
    convexification: Literal["eigen-clip", "eigen-reflect", "regularize"] = "eigen-clip"
    """What becomes of negative eigenvalues: zero, their opposite, or all eigenvalues are shifted."""
    qp_solver: Literal["ipopt", "qrqp", "osqp", "qpoases"] = "ipopt"
    """For the quadratic programs: sparse active set, operator splitting with polishing, dense active set."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of CasADi's `sqpmethod`, for example `{"max_iter_ls": 10}`."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        check_positive("SQP", tolerance=self.tolerance, stage_tolerance=self.stage_tolerance)
        check_counts("SQP", max_iterations=self.max_iterations, stages=self.stages)
        check_choice("SQP", "hessian", self.hessian, ("exact", "gauss-newton"))
        check_choice("SQP", "convexification", self.convexification, ("eigen-clip", "eigen-reflect", "regularize"))
        check_choice("SQP", "qp_solver", self.qp_solver, ("ipopt",))

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Build the CasADi solvers; nothing is rebuilt when initial state, guess or annealing change.

        Raises:
            OptionError: `sqpmethod` does not know one of `options`; names it.
        """
        derivatives = RememberedDerivatives(program.assembly)
        functions = ProgramFunctions(derivatives)
        quadratic = ElasticProgram(
            derivatives, self.qp_solver, self.convexification, self.options, lambda: _must_stop(functions)
        )
        places = schedule(program, self.stages)
        solvers = [
            _Search(self, functions, quadratic, self.tolerance if place == places[-1] else self.stage_tolerance)
            for place in places
        ]
        return Nlpsol(
            program=program,
            derivatives=derivatives,
            functions=functions,
            stages=list(zip(places.tolist(), solvers, strict=True)),
            warm=solvers[-1],
            status=lambda stats: stats["status"],
            feasibility=FEASIBILITY,
            tolerance=self.tolerance,
        ).minimise


def _must_stop(functions: ProgramFunctions) -> bool:
    return functions.run is not None and functions.run.must_stop()


class _Search:
    """A stage of the annealing, called as a solver of CasADi is."""

    def __init__(self, settings: SQP, functions: ProgramFunctions, quadratic: ElasticProgram, tolerance: float) -> None:
        self.settings, self.functions, self.quadratic, self.tolerance = settings, functions, quadratic, tolerance

    def __call__(
        self, *, x0: Any, lam_g0: Any = None, lam_x0: Any = None, **bounds: Any
    ) -> Mapping[str, Any]:
        run = self.functions.run
        m, n = self.quadratic.row_count, self.quadratic.size
        self.region = TrustRegion(
            run=run,
            program=self.quadratic,
            exact=self.settings.hessian == "exact",
            tolerance=self.tolerance,
            max_iterations=self.settings.max_iterations,
            x=np.array(x0, dtype=np.float64).ravel(),
            constraints=np.zeros(m) if lam_g0 is None else np.array(lam_g0).ravel(),
            bounds=np.zeros(n) if lam_x0 is None else np.array(lam_x0).ravel(),
        )
        self.status = self.region.search()
        return {"x": self.region.x, "lam_g": self.region.constraints, "lam_x": self.region.bounds}

    def stats(self) -> Mapping[str, Any]:
        names = ("obj", "inf_pr", "inf_du")
        return {"status": self.status, "iterations": {n: [e[n] for e in self.region.iterations] for n in names}}
