"""Every solver logs its iterations in the words of `Solution.log`, and every log can be drawn."""

import numpy as np
import pytest

from tests.problems import linear_quadratic
from trajopt_sgp.formulations import DirectTranscription, PolicySearch, SingleShooting
from trajopt_sgp.models import TimeVaryingAffine
from trajopt_sgp.problem import Solution
from trajopt_sgp.solvers import DDP, LBFGS, SQP, Fatrop, GradientDescent, Ipopt, solve
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.kinds import library_kinds
from trajopt_sgp.viz import plot_cost_by_iteration

KINDS: list[type[Solver]] = library_kinds(Solver)  # type: ignore[type-abstract]
BY_ITERATION = {"progress", "merit", "violation"}
CONDITIONS = {DDP, Ipopt, LBFGS, SQP}
"""Those that log the gradient of the Lagrangian."""


def solution_of(kind: type[Solver]) -> Solution:
    formulation = DirectTranscription() if kind is Fatrop else SingleShooting()
    return solve(linear_quadratic(), formulation, kind())


def check_log(solution: Solution) -> None:
    assert len(solution.log) == solution.iterations > 0
    for entry in solution.log:
        assert entry.keys() >= BY_ITERATION
        assert np.isfinite([entry[name] for name in BY_ITERATION]).all()
        assert 0.0 <= entry["progress"] <= 1.0 and entry["violation"] >= 0.0
    assert min(entry["merit"] for entry in solution.log) == pytest.approx(solution.cost, rel=1e-3)
    plot_cost_by_iteration({"plan": solution}).draw_without_rendering()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_solver_logs_in_the_same_words(kind: type[Solver]) -> None:
    solution = solution_of(kind)
    check_log(solution)
    assert ("stationarity" in solution.log[-1]) == (kind in CONDITIONS)


def test_a_search_for_a_policy_logs_in_the_same_words() -> None:
    check_log(solve(linear_quadratic(), PolicySearch(TimeVaryingAffine()), GradientDescent(iterations=50)))


def test_a_log_of_a_constrained_search_holds_the_objective_without_its_penalties() -> None:
    problem = linear_quadratic(state_bounds=([-np.inf] * 3, [np.inf, np.inf, 0.5]), initial_state=[1.0, -0.5, 0.4])
    for kind in (DDP, LBFGS, Ipopt, SQP):
        solution = solve(problem, SingleShooting(), kind())
        assert solution.success
        assert solution.log[-1]["merit"] == pytest.approx(solution.cost, rel=1e-5)
        assert solution.log[-1]["violation"] <= 1e-5
        assert max(entry["violation"] for entry in solution.log) > 1e-3
