"""Conformance of solvers: small problems with known answers, and what must be true of every outcome."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ConformanceError, IncompatibleError
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.formulations.excess import excess
from trajopt_sgp.problem import OptimalControlProblem, Solution, StageCost, TerminalConstraint, TerminalCost, Trajectory
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.solve import PreparedSolve, prepare

_HORIZON = 8
_STEP = 0.25
_START = np.array([1.0, -0.5])


def check_solver(
    solver: Solver,
    formulation: Formulation | None = None,
    tolerance: float = 0.02,
    feasibility: float = 1e-6,
) -> None:
    """Solve a few small problems of a double integrator and check every claim of the solutions.

    A solver must reach a known optimum, respect control bounds, claim success for feasible plans only, give the same
    plan twice, keep the programs of a batch apart, stop at its time limit, and survive NaN.

    Args:
        solver: what to check, with settings that suffice for 16 variables.
        formulation: what to pair it with; direct transcription for solvers in double precision that do not need a
            rollout, else shooting.
        tolerance: by how much the cost may exceed the optimum, relative.
        feasibility: largest violation of defects and constraints in a plan that is called successful.

    Raises:
        ConformanceError: names the fault.
        IncompatibleError: formulation and solver do not work together.
    """
    precise = solver.precision is torch.float64 and not solver.needs_rollout
    formulation = formulation or (DirectTranscription() if precise else SingleShooting())
    prepared = prepare(_regulator(), formulation, solver)
    optimum = _optimum(_START)
    _check_claim("regulator", prepared.solve(_infeasible_guess()), feasibility)
    _check_cost("regulator", prepared.solve(_infeasible_guess()), optimum, tolerance)
    _check_repeatable(prepared)
    _check_batch(prepared, tolerance)
    _check_time_limit(prepared)
    tight = _regulator(control_bounds=(-0.2, 0.3))
    _check_claim("regulator within tight bounds", prepare(tight, formulation, solver).solve(), feasibility)
    _check_unreachable(solver, formulation, feasibility)
    _check_not_finite(solver, formulation, feasibility)


@dataclass(frozen=True)
class _DoubleIntegrator:
    """A unit mass under a force held over each interval."""

    state_size: int = 2
    control_size: int = 1

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        position, velocity, force = state[..., 0], state[..., 1], control[..., 0]
        after = velocity + _STEP * force
        return torch.stack([position + 0.5 * _STEP * (velocity + after), after], dim=-1)


def _running(state: Tensor, control: Tensor) -> Tensor:
    return state.square().sum(-1) + 0.1 * control.square().sum(-1)


def _final(state: Tensor) -> Tensor:
    return 5.0 * state.square().sum(-1)


def _regulator(**changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "dynamics": _DoubleIntegrator(),
        "horizon": _HORIZON,
        "initial_state": _START,
        "stage_costs": [StageCost(_running, name="running")],
        "terminal_costs": [TerminalCost(_final, name="final")],
        "control_bounds": (-10.0, 10.0),
        "time_step": _STEP,
        "name": "regulator",
    }
    return OptimalControlProblem(**{**settings, **changes})


def _optimum(start: FloatArray) -> float:
    """Return the optimal cost of the regulator by the Riccati recursion."""
    A, B = np.array([[1.0, _STEP], [0.0, 1.0]]), np.array([[0.5 * _STEP**2], [_STEP]])
    P = 5.0 * np.eye(2)
    for _ in range(_HORIZON):
        gain = np.linalg.solve(0.1 * np.eye(1) + B.T @ P @ B, B.T @ P @ A)
        P = np.eye(2) + A.T @ P @ (A - B @ gain)
    return float(start @ P @ start)


def _infeasible_guess() -> Trajectory:
    """Controls of zero and states that the model would not reach with them."""
    return Trajectory(np.ones((_HORIZON + 1, 2)), np.zeros((_HORIZON, 1)), _STEP)


def _check_claim(what: str, solution: Solution, feasibility: float) -> None:
    """Check bounds always, and defects and constraints where success is claimed, from the trajectory alone."""
    plan, problem = solution.trajectory, solution.problem
    if not (np.isfinite(plan.states).all() and np.isfinite(plan.controls).all()):
        raise ConformanceError(
            f"On the {what} the solver returned NaN or infinity, with status {solution.status.label}."
        )
    box = problem.control_box
    outside = np.abs(excess(plan.controls, box.lower, box.upper)).max()
    if outside > 0.0:
        raise ConformanceError(f"On the {what} the plan violates the control bounds by {outside:.3g}.")
    if solution.success:
        worst = max(_defect(solution), _constraint_violation(solution))
        if worst > feasibility:
            raise ConformanceError(
                f"On the {what} the solver reports success ({solution.status.label}), but the plan violates the model "
                f"or a constraint by {worst:.3g}."
            )


def _defect(solution: Solution) -> float:
    plan = solution.trajectory
    with torch.no_grad():
        after = _DoubleIntegrator()(torch.tensor(plan.states[:-1]), torch.tensor(plan.controls)).numpy()
    jump = np.abs(plan.states[0] - solution.problem.start).max()
    return float(max(jump, np.abs(after - plan.states[1:]).max()))


def _constraint_violation(solution: Solution) -> float:
    """Return the violation of terminal constraints, the only ones in these problems."""
    last = torch.tensor(solution.trajectory.states[-1])
    worst = 0.0
    for constraint in solution.problem.constraint_terms:
        if isinstance(constraint, TerminalConstraint):
            rows = constraint.evaluate(last, parameters=solution.parameters).numpy()
            sides = np.asarray(constraint.lower), np.asarray(constraint.upper)
            worst = max(worst, float(np.abs(excess(rows, *sides)).max()))
    return worst


def _check_cost(what: str, solution: Solution, optimum: float, tolerance: float) -> None:
    feasible = _defect(solution) <= 1e-6
    if feasible and solution.cost < optimum * (1.0 - 1e-6):
        raise ConformanceError(f"On the {what} the cost {solution.cost:.6g} is below the optimum {optimum:.6g}.")
    if not feasible or solution.cost > optimum * (1.0 + tolerance):
        raise ConformanceError(
            f"On the {what} the solver does not reach the optimum {optimum:.6g} within {tolerance:.2g}: {solution}."
        )


def _check_repeatable(prepared: PreparedSolve) -> None:
    first, second = (prepared.solve(generator=np.random.default_rng(0)).trajectory for _ in range(2))
    if first.controls.tobytes() != second.controls.tobytes():
        raise ConformanceError("The same problem from the same seed gives another plan when solved again.")


def _check_batch(prepared: PreparedSolve, tolerance: float) -> None:
    states = np.stack([_START, -2.0 * _START, 0.5 * _START])
    for k, solution in enumerate(prepared.solve_batch(states)):
        if not np.allclose(solution.trajectory.states[0], states[k]):
            raise ConformanceError(
                f"In a batch, the plan of program {k} starts from another initial state than its own."
            )
        if solution.cost > _optimum(states[k]) * (1.0 + tolerance):
            raise ConformanceError(f"In a batch, program {k} does not reach its optimum: {solution}.")


def _check_time_limit(prepared: PreparedSolve) -> None:
    solution = prepared.solve(_infeasible_guess(), time_limit=1e-9)
    if solution.iterations > 2:
        raise ConformanceError(f"The solver made {solution.iterations} iterations after its time was over.")
    if solution.success and solution.cost > 1.5 * _optimum(_START):
        raise ConformanceError(
            f"The time limit ends the solve with status {solution.status.label}, as if it were done."
        )


def _check_unreachable(solver: Solver, formulation: Formulation, feasibility: float) -> None:
    far = TerminalConstraint(lambda state: state, lower=[100.0, 0.0], upper=[100.0, 0.0], name="unreachable target")
    try:
        prepared = prepare(_regulator(constraints=[far]), formulation, solver)
    except IncompatibleError:
        return
    _check_claim("unreachable target", prepared.solve(), feasibility)


def _check_not_finite(solver: Solver, formulation: Formulation, feasibility: float) -> None:
    """The cost falls towards a force beyond which it is NaN."""

    def cliff(state: Tensor, control: Tensor) -> Tensor:
        return (1.0 - control[..., 0]).sqrt() + 0.0 * state.sum(-1)

    problem = _regulator(stage_costs=[StageCost(cliff, name="cliff")], terminal_costs=[])
    solution = prepare(problem, formulation, solver).solve(_infeasible_guess())
    _check_claim("cost that becomes NaN", solution, feasibility)
    if solution.success and not np.isfinite(solution.cost):
        raise ConformanceError(f"The solver reports success ({solution.status.label}) with a cost of NaN.")
