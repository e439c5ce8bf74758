"""Interior-point method: Ipopt through CasADi, with exact second derivatives in float64."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import casadi
import torch

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_choice, check_counts, check_positive
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.annealing import schedule, staged
from trajopt_sgp.solvers.base import Minimiser, Solver
from trajopt_sgp.solvers.casadi_callbacks import ProgramFunctions
from trajopt_sgp.solvers.nlpsol import Nlpsol, Stats, build
from trajopt_sgp.solvers.remembered import RememberedDerivatives

_STATUS = {
    "Solve_Succeeded": Status.SOLVED,
    "Solved_To_Acceptable_Level": Status.ACCEPTABLE,
    "Maximum_Iterations_Exceeded": Status.ITERATION_LIMIT,
    "Maximum_WallTime_Exceeded": Status.TIME_LIMIT,
    "Maximum_CpuTime_Exceeded": Status.TIME_LIMIT,
    "User_Requested_Stop": Status.INTERRUPTED,
    "Infeasible_Problem_Detected": Status.INFEASIBLE,
    "Diverging_Iterates": Status.DIVERGED,
    "Invalid_Number_Detected": Status.NOT_FINITE,
}
_ENTRIES = {
    "obj": "merit",
    "inf_pr": "violation",
    "inf_du": "stationarity",
    "mu": "barrier",
    "alpha_pr": "step_length",
}
"""Of its statistics, and what they are called in `Solution.log`."""

_NEXT_STAGE = {"warm_start_init_point": "yes", "mu_init": 1e-3, "warm_start_bound_push": 1e-6}
_NEAR = {"mu_init": 1e-4, "bound_push": 1e-6, "bound_frac": 1e-6}
_PUSHES = ("bound_push", "bound_frac", "slack_bound_push", "slack_bound_frac", "mult_bound_push")
# an earlier solution is closer than the stage before: the barrier is almost gone, and nothing is pushed off its bound
_WARM_START = {"warm_start_init_point": "yes", "mu_init": 1e-6, **{f"warm_start_{push}": 1e-8 for push in _PUSHES}}


@dataclass(frozen=True)
class Ipopt(Solver):
    """Ipopt (Waechter and Biegler 2006) with sparse exact derivatives of the whole program.

    Where a distance to data is annealed, the program is solved at `stages` places of its schedule, each from the
    solution of the one before; only the last is solved to `tolerance`.
    """

    tolerance: float = 1e-8
    """Of the scaled optimality conditions in the last stage."""
    max_iterations: int = 500
    """Per stage."""
    stages: int = 4
    """Places on the annealing schedule; 1 solves at its end only."""
    stage_tolerance: float = 1e-3
    """Of the optimality conditions in the stages before the last."""
    hessian: Literal["exact", "gauss-newton", "limited-memory"] = "exact"
    """Second derivatives: all of them; those that squares of residuals and other costs give; or an estimate."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of Ipopt itself, for example `{"mu_strategy": "adaptive"}`."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        check_positive("Ipopt", tolerance=self.tolerance, stage_tolerance=self.stage_tolerance)
        check_counts("Ipopt", max_iterations=self.max_iterations, stages=self.stages)
        check_choice("Ipopt", "hessian", self.hessian, ("exact", "gauss-newton", "limited-memory"))

    def near_solution(self) -> "Ipopt":
        """Return the solver with a small barrier, which leaves a guess near its bounds."""
        return replace(self, options={**_NEAR, **self.options})

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Build the CasADi solvers; nothing is rebuilt when initial state, guess or annealing change.

        Raises:
            OptionError: Ipopt does not know one of `options`; names it.
        """
        derivatives = RememberedDerivatives(program.assembly)
        functions = ProgramFunctions(derivatives, self.hessian == "exact")
        callbacks = self._callbacks(functions)
        nlp = functions.problem()
        stages = staged(schedule(program, self.stages), self.tolerance, self.stage_tolerance)
        return Nlpsol(
            program=program,
            derivatives=derivatives,
            functions=functions,
            stages=[
                (place, _build(nlp, callbacks, self._options(tolerance), _NEXT_STAGE if k else {}))
                for k, (place, tolerance) in enumerate(stages)
            ],
            warm=_build(nlp, callbacks, self._options(self.tolerance), _WARM_START),
            status=_claimed,
            iterations=_told,
            tolerance=self.tolerance,
        ).minimise

    def _callbacks(self, functions: ProgramFunctions) -> dict[str, casadi.Function]:
        callbacks: dict[str, casadi.Function] = {
            "grad_f": functions.gradient(),
            "jac_g": functions.jacobian(),
            "iteration_callback": functions.stop(),
        }
        if self.hessian != "limited-memory":
            callbacks["hess_lag"] = functions.hessian()
        return callbacks

    def _options(self, tolerance: float) -> dict[str, Any]:
        own: dict[str, Any] = {"tol": tolerance, "max_iter": self.max_iterations, "print_level": 0, "sb": "yes"}
        if self.hessian == "limited-memory":
            own["hessian_approximation"] = "limited-memory"
        return {**own, **self.options}


def _build(
    nlp: casadi.Function, callbacks: Mapping[str, casadi.Function], options: Mapping[str, Any], begin: Mapping[str, Any]
) -> casadi.Function:
    settings = {**callbacks, "no_nlp_grad": True, "ipopt": {**begin, **options}}
    return build("ipopt", "Ipopt", nlp, settings, options)


def _claimed(stats: Stats) -> Status:
    return _STATUS.get(stats["return_status"], Status.FAILED)


def _told(stats: Stats) -> Iterator[dict[str, float]]:
    columns = {own: stats["iterations"][name] for name, own in _ENTRIES.items()} if "iterations" in stats else {}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, map(float, row), strict=True))
