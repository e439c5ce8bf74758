"""Sequential quadratic programming within a trust region, quadratic programs by solvers from CasADi's wheel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_choice, check_counts, check_positive
from trajopt_sgp.solvers.annealing import schedule, staged
from trajopt_sgp.solvers.base import Minimiser, Solver
from trajopt_sgp.solvers.casadi_callbacks import ProgramFunctions
from trajopt_sgp.solvers.elastic_program import ElasticProgram
from trajopt_sgp.solvers.nlpsol import Nlpsol, Stats
from trajopt_sgp.solvers.quadratic_solvers import QUADRATIC_SOLVERS
from trajopt_sgp.solvers.remembered import RememberedDerivatives
from trajopt_sgp.solvers.stages import Structure
from trajopt_sgp.solvers.trust_region import TrustRegion


@dataclass(frozen=True)
class SQP(Solver):
    """Sequential quadratic programming that converges from poor guesses: elastic programs in a trust region (Sl1QP).

    Each step minimises a quadratic model with the exact Hessian of the Lagrangian, which need not be convex, within a
    box around the iterate; rows may be violated at a price, so that every quadratic program has a solution. Iterations
    are few and each is costly: where derivatives are slow it needs fewer of them than Ipopt.

    Source: R. Fletcher, Practical Methods of Optimization (1987), section 14.4.
    """

    tolerance: float = 1e-8
    """Of feasibility, and of the other conditions of optimality relative to the largest multiplier above 1."""
    max_iterations: int = 300
    """Per stage."""
    stages: int = 4
    """Places on the schedule of an annealed distance to data; 1 solves at its end only."""
    stage_tolerance: float = 1e-3
    """Of the stages before the last."""
    hessian: Literal["exact", "gauss-newton"] = "exact"
    """Second derivatives: all of them, or those that squares of residuals and other costs give."""
    convexification: Literal["eigen-clip", "eigen-reflect", "regularize"] = "eigen-clip"
    """What becomes of negative eigenvalues where `qp_solver` needs convex programs: zero, their opposite, or all
    eigenvalues are shifted."""
    qp_solver: Literal["ipopt", "hpipm", "qrqp", "osqp", "qpoases"] = "ipopt"
    """For the quadratic programs: interior points, which takes those that are not convex as well; interior points that
    follow the stages of a `DirectTranscription` whose terms are functions of one knot each; sparse active set;
    operator splitting with polishing; dense active set."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of `qp_solver`, for example `{"max_iter": 100}` of Ipopt."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        check_positive("SQP", tolerance=self.tolerance, stage_tolerance=self.stage_tolerance)
        check_counts("SQP", max_iterations=self.max_iterations, stages=self.stages)
        check_choice("SQP", "hessian", self.hessian, ("exact", "gauss-newton"))
        check_choice("SQP", "convexification", self.convexification, ("eigen-clip", "eigen-reflect", "regularize"))
        check_choice("SQP", "qp_solver", self.qp_solver, QUADRATIC_SOLVERS)

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Build the solver of quadratic programs; nothing is rebuilt when initial state, guess or annealing change.

        Raises:
            OptionError: `qp_solver` does not know one of `options`; names it.
            IncompatibleError: `qp_solver` follows stages that the program does not have; says what does not fit.
        """
        structure = Structure(program, "SQP with qp_solver='hpipm'") if self.qp_solver == "hpipm" else None
        derivatives = RememberedDerivatives(program.assembly)
        functions = ProgramFunctions(derivatives)
        steps = ElasticProgram(
            derivatives, self.qp_solver, self.convexification, self.options, lambda: functions.must_stop, structure
        )
        places = staged(schedule(program, self.stages), self.tolerance, self.stage_tolerance)
        stages = [(place, _Stage(self, functions, steps, tolerance)) for place, tolerance in places]
        return Nlpsol(
            program=program,
            derivatives=derivatives,
            functions=functions,
            stages=stages,
            warm=stages[-1][1],
            status=lambda stats: stats["return_status"],
            iterations=lambda stats: stats["iterations"],
            tolerance=self.tolerance,
        ).minimise


class _Stage:
    """The search of one place on the annealing schedule; called as a solver of CasADi is."""

    def __init__(self, settings: SQP, functions: ProgramFunctions, steps: ElasticProgram, tolerance: float) -> None:
        self._settings, self._functions, self._steps, self._tolerance = settings, functions, steps, tolerance
        self._stats: Stats = {}

    def __call__(self, **arguments: Any) -> Mapping[str, FloatArray]:
        """Search from x0, lam_g0 and lam_x0; the bounds of the program are those of the run."""
        search = TrustRegion(
            run=self._functions.active,
            program=self._steps,
            exact=self._settings.hessian == "exact",
            tolerance=self._tolerance,
            max_iterations=self._settings.max_iterations,
            x=arguments["x0"],
            constraints=arguments.get("lam_g0", np.zeros(self._steps.row_count)),
            bounds=arguments.get("lam_x0", np.zeros(self._steps.size)),
        )
        status = search.search()
        self._stats = {"return_status": status, "iterations": search.log}
        return {"x": search.x, "lam_g": search.constraints, "lam_x": search.bounds}

    def stats(self) -> Stats:
        """Return how the last search ended and what its iterates were."""
        return self._stats
