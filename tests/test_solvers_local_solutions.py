"""Solutions of many starts are put together when they are looked at, once."""

import pytest

from tests.problems import cartpole_swing_up
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.problem import Solution
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.solvers.local_solutions import LocalSolutions


@pytest.fixture(scope="module")
def solution() -> Solution:
    return solve(cartpole_swing_up(), SingleShooting(), GradientDescent(iterations=30, starts=4))


def test_each_is_built_once_and_only_when_asked_for(solution: Solution) -> None:
    built: list[int] = []

    def build(k: int) -> Solution:
        built.append(k)
        return solution

    local = LocalSolutions(3, build)
    assert len(local) == 3
    assert not built
    assert local[-1] is local[2] is solution
    assert built == [2]
    assert len(local[1:]) == 2
    assert list(local) == [solution] * 3
    assert built == [2, 1, 0]
    with pytest.raises(IndexError):
        local[3]


def test_the_best_start_is_the_solution(solution: Solution) -> None:
    assert len(solution.starts) == 4
    costs = [start.cost for start in solution.starts]
    assert solution.cost == min(costs) < max(costs)
    assert solution.starts[costs.index(min(costs))].trajectory is solution.trajectory
