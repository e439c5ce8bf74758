"""A formulation and a solver of one's own, and the conformance checkers that find what is wrong with them.

The solver is projected gradient descent with a backtracking line search, for programs that have bounds alone. A second
one claims success after a single step, and is found out.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from trajopt_sgp.errors import ConformanceError, IncompatibleError
from trajopt_sgp.formulations import Formulation, NonlinearProgram, SingleShooting, check_formulation
from trajopt_sgp.formulations.held_control import HeldControl
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.problem import OptimalControlProblem, Status
from trajopt_sgp.solvers import check_solver, line_guess, solve
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.studies.problems import van_der_pol
from trajopt_sgp.viz import plot_solution, save_figure


@dataclass(frozen=True)
class EulerTranscription(Formulation):
    """Held controls, two steps of Euler's method in every interval, states as variables."""

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program."""
        return HeldControl(problem, Stepper(problem, "euler", 2), needs_value).program(self, steps=None)


@dataclass(frozen=True)
class ProjectedGradient(Solver):
    """Steps along the negative gradient, cut off at the bounds, halved until the objective falls enough."""

    iterations: int = 300
    claim: Status = Status.ITERATION_LIMIT

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Refuse programs with rows; else return a function of a batch of starts."""
        if program.assembly.row_count:
            raise IncompatibleError("ProjectedGradient handles bounds of variables only.")
        return lambda start: [self._minimise(program, start, k) for k in range(len(start.variables))]

    def _minimise(self, program: NonlinearProgram, start: Start, k: int) -> Outcome:
        parameters, begin, step, status = start.one(k).at_end(), time.perf_counter(), 1.0, self.claim
        lower, upper = program.bounds(parameters.initial_state.numpy())
        w = np.clip(start.variables[k], lower, upper)
        value, gradient = program.assembly.gradient(w, parameters)
        count = 0
        for _ in range(self.iterations):
            count += 1
            trial = np.clip(w - step * gradient, lower, upper)
            tried, slope = program.assembly.gradient(trial, parameters)
            if np.isfinite(tried) and tried <= value + 1e-3 * gradient @ (trial - w):
                w, value, gradient, step = trial, tried, slope, 2.0 * step
            else:
                step *= 0.5
            if np.abs(np.clip(w - gradient, lower, upper) - w).max() < 1e-4:
                status = Status.CONVERGED
                break
            if start.time_limit is not None and time.perf_counter() - begin > start.time_limit:
                status = Status.TIME_LIMIT
                break
        return Outcome(w, status, count, value)


def main() -> None:
    """Check, solve, print and draw."""
    check_formulation(EulerTranscription(), van_der_pol().replaced(horizon=3))
    print("EulerTranscription keeps every promise of a formulation")
    check_solver(ProjectedGradient(), SingleShooting())
    print("ProjectedGradient keeps every promise of a solver")
    try:
        check_solver(ProjectedGradient(iterations=1, claim=Status.SOLVED), SingleShooting())
    except ConformanceError as error:
        print(f"the boastful one does not: {error}")
    problem = van_der_pol().replaced(horizon=12, duration=3.0)
    solution = solve(problem, SingleShooting(), ProjectedGradient(), line_guess(problem))
    print(solution)
    print(f"wrote {save_figure(plot_solution(solution), Path('runs/examples/own_solver.png'))}")


if __name__ == "__main__":
    main()
