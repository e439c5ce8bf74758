"""Interior-point method: Ipopt through CasADi, with exact second derivatives in float64."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import casadi
import numpy as np
import torch
from numpy.typing import NDArray

from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start, check_choice, check_counts, check_positive
from trajopt_sgp.solvers.casadi_callbacks import ProgramFunctions

FloatArray = NDArray[np.float64]

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

_WARM_START = {"warm_start_init_point": "yes", "mu_init": 1e-3, "warm_start_bound_push": 1e-6}


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
    """Second derivatives: all of them; those that squares of residuals and other costs give; or Ipopt's own estimate."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of Ipopt itself, for example `{"mu_strategy": "adaptive"}`."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        check_positive("Ipopt", tolerance=self.tolerance, stage_tolerance=self.stage_tolerance)
        check_counts("Ipopt", max_iterations=self.max_iterations, stages=self.stages)
        check_choice("Ipopt", "hessian", self.hessian, ("exact", "gauss-newton", "limited-memory"))

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Build the CasADi solvers; nothing is rebuilt when initial state, guess or annealing change.

        Raises:
            OptionError: Ipopt does not know one of `options`; names it.
        """
        return _Prepared(self, program).minimise


class _Prepared:
    def __init__(self, settings: Ipopt, program: NonlinearProgram) -> None:
        self.program = program
        self.functions = ProgramFunctions(program.assembly, program.problem.values(), settings.hessian == "exact")
        schedule = np.linspace(0.0, 1.0, settings.stages) if settings.stages > 1 else np.ones(1)
        self.stages = schedule if any(term.annealed for term in program.problem.stage_terms) else np.ones(1)
        loose = _options(settings, settings.stage_tolerance)
        last = _options(settings, settings.tolerance)
        callbacks = {
            "grad_f": self.functions.gradient(),
            "jac_g": self.functions.jacobian(),
            "iteration_callback": self.functions.stop(),
        }
        if settings.hessian != "limited-memory":
            callbacks["hess_lag"] = self.functions.hessian()
        nlp = self.functions.problem()
        self.solvers = [
            _build(nlp, callbacks, loose if k + 1 < len(self.stages) else last, warm=k > 0)
            for k in range(len(self.stages))
        ]
        self.warm_solver = _build(nlp, callbacks, last, warm=True)

    def minimise(self, start: Start) -> list[Outcome]:
        outcomes = []
        self.functions.deadline = None if start.time_limit is None else time.perf_counter() + start.time_limit
        for k, guess in enumerate(start.variables):
            outcomes.append(self._solve(guess, start.one(k), start.multipliers[k] if start.multipliers else None))
        return outcomes

    def _solve(
        self, guess: FloatArray, parameters: Parameters, multipliers: Mapping[str, FloatArray] | None
    ) -> Outcome:
        begin, self.functions.seconds, self.functions.error = time.perf_counter(), 0.0, None
        lower, upper = self.program.bounds(parameters.initial_state.numpy())
        row_lower, row_upper = self.program.assembly.bounds()
        point: dict[str, Any] = {"x0": np.clip(guess, lower, upper)}
        bounds = {"lbx": lower, "ubx": upper, "lbg": row_lower, "ubg": row_upper}
        stages = list(zip(self.stages, self.solvers, strict=True))
        if multipliers:
            point |= {"lam_g0": multipliers["constraints"], "lam_x0": multipliers["bounds"]}
            stages = [(self.stages[-1], self.warm_solver)]
        log: list[Mapping[str, Any]] = []
        status, result = Status.FAILED, {}
        for progress, solver in stages:
            self.functions.parameters = replace(parameters, progress=float(progress))
            result = solver(**point, **bounds)
            if self.functions.error is not None:
                raise self.functions.error
            status = _STATUS.get(solver.stats()["return_status"], Status.FAILED)
            log += _iterations(solver.stats(), float(progress))
            point = {"x0": result["x"], "lam_g0": result["lam_g"], "lam_x0": result["lam_x"]}
            if status is Status.INTERRUPTED:
                status = Status.TIME_LIMIT
                break
        total = time.perf_counter() - begin
        return Outcome(
            variables=_vector(result["x"]),
            status=status,
            iterations=len(log),
            merit=float(result["f"]) if status.ok else np.inf,
            multipliers={"constraints": _vector(result["lam_g"]), "bounds": _vector(result["lam_x"])},
            seconds={"derivatives": self.functions.seconds, "solver": total - self.functions.seconds},
            log=log,
        )


def _options(settings: Ipopt, tolerance: float) -> dict[str, Any]:
    own = {"tol": tolerance, "max_iter": settings.max_iterations, "print_level": 0, "sb": "yes"}
    if settings.hessian == "limited-memory":
        own["hessian_approximation"] = "limited-memory"
    return {**own, **settings.options}


def _build(
    nlp: casadi.Function, callbacks: Mapping[str, casadi.Function], options: dict[str, Any], warm: bool
) -> casadi.Function:
    settings: dict[str, Any] = {
        **callbacks,
        "no_nlp_grad": True,
        "calc_lam_p": False,
        "print_time": False,
        "error_on_fail": False,
        "show_eval_warnings": False,
        "ipopt": {**(_WARM_START if warm else {}), **options},
    }
    try:
        return casadi.nlpsol("ipopt", "ipopt", nlp, settings)
    except RuntimeError as error:
        raise OptionError(f"Ipopt refused its options {options}: {str(error).strip().splitlines()[-1]}") from error


def _iterations(stats: Mapping[str, Any], progress: float) -> list[Mapping[str, Any]]:
    columns = stats.get("iterations", {})
    names = ("obj", "inf_pr", "inf_du", "mu", "alpha_pr")
    count = len(columns.get("obj", []))
    return [{"progress": progress, **{name: float(columns[name][i]) for name in names}} for i in range(count)]


def _vector(value: casadi.DM) -> FloatArray:
    return np.array(value, dtype=np.float64).ravel()
