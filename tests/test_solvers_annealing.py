"""Adaptive annealing: when it moves on, when it must, and what a descent makes of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import cartpole_data, cartpole_swing_up, energy_network, force_cost, score_network
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import PolicySearch, SingleShooting
from trajopt_sgp.problem import Parameters
from trajopt_sgp.solvers import DDP, LBFGS, SQP, AdaptiveAnnealing, GradientDescent, Ipopt, Scipy, solve
from trajopt_sgp.solvers.annealing import AdaptivePlaces, fixed_places
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance, GeometricSchedule

SETTINGS = AdaptiveAnnealing(stages=4, tolerance=0.1, patience=5)


def places(merits: Callable[[int], list[float]]) -> list[float]:
    """The place of every one of 100 iterations where merits at iteration i are given."""
    follow = AdaptivePlaces(SETTINGS, 100.0)

    def merit(i: int) -> Callable[[float], Tensor]:
        return lambda place: torch.tensor(merits(i))

    return [follow(i, merit(i)) for i in range(100)]


def moves(places: list[float]) -> list[int]:
    """Iterations at which the place changed."""
    return [i for i in range(1, len(places)) if places[i] != places[i - 1]]


def test_fixed_places_run_evenly() -> None:
    follow = fixed_places(5.0)
    assert [follow(i, lambda place: torch.zeros(1)) for i in range(7)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_batch_that_stands_still_moves_on_whenever_it_may() -> None:
    found = places(lambda i: [1.0, 2.0])
    assert moves(found) == [5, 10, 15]
    assert sorted(set(found)) == pytest.approx([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0])


def test_a_batch_that_improves_stays_until_the_places_ahead_need_the_time() -> None:
    found = places(lambda i: [0.9**i, -(1.1**i)])
    assert moves(found) == [85, 90, 95]


def test_half_of_the_programs_must_have_stalled() -> None:
    assert moves(places(lambda i: [1.0, 0.9**i]))[0] == 5
    assert moves(places(lambda i: [1.0, 0.9**i, 0.9**i]))[0] == 85
    # numbers that are not finite do not improve
    assert moves(places(lambda i: [float("nan"), 0.9**i]))[0] == 5


def test_improvement_is_judged_anew_at_every_place() -> None:
    """Steady until iteration 12: the first look after that, at 15, finds that nothing improved."""
    found = places(lambda i: [0.9 ** min(i, 10)])
    assert moves(found) == [15, 20, 25]


@pytest.mark.parametrize("field", [True, False])
def test_a_descent_follows_its_places_and_ends_at_the_last(field: bool) -> None:
    data = cartpole_data()
    model = score_network(data) if field else ExactSmoothedDistance(data)
    distance = DataDistance(model, weight=1.0, schedule=GeometricSchedule(0.5, 0.05))
    problem = cartpole_swing_up(horizon=8, stage_costs=[force_cost, distance])
    solver = GradientDescent(iterations=60, annealing=0.8, adaptive=SETTINGS, starts=2)
    solution = solve(problem, SingleShooting(), solver)
    found = [entry["progress"] for entry in solution.log]
    assert found == sorted(found)
    assert sorted(set(found)) == pytest.approx([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0])
    assert found[0] == 0.0
    assert found[48] == 1.0
    again = solve(problem, SingleShooting(), solver)
    assert (again.trajectory.controls == solution.trajectory.controls).all()


def test_policies_have_one_merit_for_each_set_of_parameters() -> None:
    """At the end of the schedule it is the merit that iterates are compared by, at its start another."""
    distance = DataDistance(ExactSmoothedDistance(cartpole_data()), schedule=GeometricSchedule(0.5, 0.05))
    problem = cartpole_swing_up(horizon=4, stage_costs=[force_cost, distance])
    program = PolicySearch(initial_states=np.array([[0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.0, 0.0]])).transcribe(
        problem, False
    )
    variables = torch.zeros((3, program.assembly.size), dtype=problem.dtype)
    parameters = Parameters(torch.zeros((3, 4), dtype=problem.dtype))
    begin, end = program.merit(variables, parameters), program.merit(variables, parameters.at_end())
    assert begin.shape == (3,)
    torch.testing.assert_close(end, program.evaluate(variables, parameters).merit)
    assert (begin - end).abs().min() > 1e-3


@pytest.mark.parametrize("solver", [DDP(), LBFGS(), Ipopt(), SQP(), Scipy()], ids=lambda solver: solver.name)
def test_a_solve_from_multipliers_begins_at_the_end_of_the_schedule(solver: Solver) -> None:
    distance = DataDistance(energy_network(cartpole_data()), weight=0.1, schedule=GeometricSchedule(0.5, 0.1))
    problem = cartpole_swing_up(horizon=6, stage_costs=[force_cost, distance])
    first = solve(problem, SingleShooting(), solver)
    assert sorted({entry["progress"] for entry in first.log}) == [0.0, *np.linspace(0.0, 1.0, 4)[1:]]
    again = solve(problem, SingleShooting(), solver, guess=first)
    assert {entry["progress"] for entry in again.log} <= {1.0}
    assert again.iterations < first.iterations
    assert again.cost == pytest.approx(first.cost, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stages": 1}, "stages = 0"), ({"patience": 0}, "patience = 0"), ({"tolerance": 0.0}, "tolerance = 0.0")],
)
def test_impossible_settings_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=f"AdaptiveAnnealing: {message}"):
        AdaptiveAnnealing(**options)  # type: ignore[arg-type]
