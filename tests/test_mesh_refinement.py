"""Mesh refinement: it ends where it should, says why, and pays."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import block_move
from tests.zoo import known
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    NonlinearProgram,
    OrthogonalCollocation,
    TrapezoidalCollocation,
)
from trajopt_sgp.problem import ContinuousDynamics, FreeTime, OptimalControlProblem, StageCost, TimeVarying
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.solvers.mesh import MeshRefinement, refine_mesh, split_trajectory


def refined(name: str, formulation: Formulation, horizon: int, **options: Any) -> MeshRefinement:
    record = known(name)
    problem = record.problem(horizon)
    return refine_mesh(problem, formulation, Ipopt(), record.guess(problem), **options)


def test_splitting_a_plan_does_not_change_it() -> None:
    record = known("brachistochrone")
    problem = record.problem(5, mesh=[0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
    plan = solve(problem, HermiteSimpson(), Ipopt(), guess=record.guess(problem)).trajectory
    finer = split_trajectory(plan, np.array([1, 3, 2, 1, 4]))
    assert finer.horizon == 11
    assert finer.duration == pytest.approx(plan.duration, rel=1e-14)
    times = np.linspace(0.0, plan.duration, 137)
    for before, after in zip(plan.sample(times), finer.sample(times), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-12)
    assert set(np.round(plan.times, 12)) <= set(np.round(finer.times, 12))


def test_held_controls_and_straight_states_are_split_too() -> None:
    plan = solve(block_move(4), DirectTranscription(), Ipopt()).trajectory
    finer = split_trajectory(plan, np.array([2, 1, 1, 3]))
    times = (np.arange(40) + 0.5) / 40.0 * plan.duration
    for before, after in zip(plan.sample(times), finer.sample(times), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-12)


@pytest.mark.parametrize(
    "formulation", [HermiteSimpson(), OrthogonalCollocation(3, "radau")], ids=lambda f: str(f.name)
)
def test_refinement_reaches_the_tolerance_and_the_optimum(formulation: Formulation) -> None:
    result = refined("Kelly's cart-pole", formulation, 20, tolerance=1e-5)
    assert result.converged
    assert result.reason == "the tolerance is reached."
    assert result.errors[-1].max() <= 1e-5 < result.errors[-2].max()
    assert known("Kelly's cart-pole").relative_error(result.solution.cost) <= 1e-5
    assert result.solution.max_violation <= 1e-6
    # knots gather where the pole is fast: intervals differ in length
    shares = result.solution.problem.grid.shares
    assert shares.max() >= 2.0 * shares.min()


def test_a_fine_mesh_costs_less_from_coarse_to_fine() -> None:
    record = known("Kelly's cart-pole")
    result = refined(record.name, HermiteSimpson(), 20, tolerance=1e-7)
    fine = result.solution
    cold = solve(fine.problem, HermiteSimpson(), Ipopt(), guess=record.guess(fine.problem))
    assert result.converged
    assert cold.success
    assert 2 * fine.iterations <= cold.iterations
    work = sum(solution.iterations * solution.trajectory.horizon for solution in result.solutions)
    assert work < cold.iterations * fine.trajectory.horizon


def test_the_duration_sought_is_carried_to_the_next_mesh() -> None:
    result = refined("brachistochrone", TrapezoidalCollocation(), 10, tolerance=1e-4)
    assert result.converged
    assert isinstance(result.solution.problem.duration, FreeTime)
    assert result.solution.problem.duration.guess == pytest.approx(result.solutions[-2].duration, rel=1e-12)
    assert known("brachistochrone").relative_error(result.solution.cost) <= 1e-3


def test_a_jump_inside_an_interval_takes_few_knots() -> None:
    """No mesh that comes of this one has a knot where the control of least time jumps."""
    record = known("minimum time")
    problem = record.problem(5, mesh=[0.0, 0.2113, 0.4142, 0.5772, 0.7321, 1.0])
    result = refine_mesh(problem, HermiteSimpson(), Ipopt(), record.guess(problem), tolerance=1e-8)
    assert result.converged
    assert result.solution.trajectory.horizon <= 40
    assert record.relative_error(result.solution.cost) <= 1e-6
    shortest = np.argmin(result.solution.problem.grid.shares)
    assert abs(result.solution.problem.grid.mesh[shortest] - 0.5) < 0.02


@dataclass(frozen=True)
class NeverFinerFormulation(Formulation):
    """Hermite-Simpson with an error estimate that no mesh makes smaller."""

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        program = HermiteSimpson().transcribe(problem, needs_value)
        return replace(program, estimate_mesh_error=lambda plan, values: np.full(plan.horizon, 0.5))


def test_an_error_that_does_not_fall_ends_the_refinement() -> None:
    result = refined("block move", NeverFinerFormulation(), 4, tolerance=1e-3)
    assert not result.converged
    assert result.reason == "no progress: the largest error has stayed at 0.5 for 2 rounds."
    assert [solution.trajectory.horizon for solution in result.solutions] == [4, 16, 64]


def test_held_controls_need_a_tolerance_of_the_cost() -> None:
    """A double integrator under held controls is integrated without any error, at any mesh."""
    blind = refined("block move", DirectTranscription(), 10, tolerance=1e-6)
    assert blind.converged
    assert len(blind.solutions) == 1
    seeing = refined("block move", DirectTranscription(), 10, tolerance=1e-6, cost_tolerance=1e-3)
    assert seeing.converged
    assert known("block move").relative_error(seeing.solution.cost) <= 5e-4


def test_the_cap_on_knots_is_kept_and_named() -> None:
    result = refined("Kelly's cart-pole", TrapezoidalCollocation(), 20, tolerance=1e-7, max_knots=50)
    assert not result.converged
    assert result.reason.startswith("the limit of 50 knots is reached")
    assert result.solution.trajectory.horizon <= 49


def test_the_limit_on_rounds_is_kept_and_named() -> None:
    result = refined("Kelly's cart-pole", HermiteSimpson(), 20, tolerance=1e-9, max_rounds=2)
    assert result.reason == "the limit of 2 rounds is reached."
    assert len(result.solutions) == len(result.errors) == 2
    assert result.iterations == sum(solution.iterations for solution in result.solutions)


def test_a_solver_that_fails_ends_the_refinement() -> None:
    record = known("Kelly's cart-pole")
    problem = record.problem(20)
    result = refine_mesh(problem, HermiteSimpson(), Ipopt(max_iterations=2), record.guess(problem))
    assert not result.converged
    assert result.reason.startswith("the solver failed on 21 knots: stopped at the iteration limit")


def test_meshes_of_multiple_shooting_are_multiples_of_its_steps() -> None:
    result = refined("LQR", MultipleShooting(4), 8, tolerance=1e-6)
    assert result.converged
    assert len(result.solutions) > 1
    assert all(solution.trajectory.horizon % 4 == 0 for solution in result.solutions)


def test_blocks_of_moves_last_as_long_on_finer_meshes() -> None:
    def rate(state: Tensor, control: Tensor) -> Tensor:
        return control - 5.0 * state**3

    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(rate, 1, 1),
        horizon=8,
        duration=0.8,
        initial_state=[2.0],
        stage_costs=[StageCost(lambda x, u: (x - 1.0).square().sum(-1) + 1e-3 * u.square().sum(-1), integral=True)],
        control_bounds=(-10.0, 10.0),
        move_blocks=[2, 1, 5],
    )
    result = refine_mesh(problem, DirectTranscription(), Ipopt(), tolerance=1e-7)
    assert result.converged
    assert len(result.solutions) > 1
    plan = result.solution.trajectory
    changes = plan.times[1:-1][np.abs(np.diff(plan.controls[:, 0])) > 1e-9]
    np.testing.assert_allclose(changes, [0.2, 0.3], atol=1e-12)


def test_a_reference_by_knot_stays_what_it_is_between_the_knots() -> None:
    reference = np.sin(np.linspace(0.0, 2.0, 9))[:, None]

    def rate(state: Tensor, control: Tensor) -> Tensor:
        return control - torch.sin(3.0 * state)

    def gap(state: Tensor, control: Tensor, wanted: Tensor) -> Tensor:
        return (state - wanted).square().sum(-1) + 0.01 * control.square().sum(-1)

    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(rate, 1, 1),
        horizon=8,
        duration=2.0,
        initial_state=[0.0],
        stage_costs=[StageCost(gap, integral=True, parameters=("wanted",))],
        control_bounds=(-5.0, 5.0),
        parameters={"wanted": TimeVarying(reference)},
    )
    result = refine_mesh(problem, HermiteSimpson(), Ipopt(), tolerance=1e-5)
    assert result.converged
    assert len(result.solutions) > 1
    finer = result.solution.problem
    values = finer.parameters["wanted"]
    assert isinstance(values, TimeVarying)
    expected = np.interp(finer.grid.mesh, np.linspace(0.0, 1.0, 9), reference[:, 0])
    np.testing.assert_allclose(np.asarray(values.values)[:, 0], expected, atol=1e-12)


def test_what_refinement_asks_of_formulations_and_solvers_has_defaults() -> None:
    own = NeverFinerFormulation()
    assert (own.mesh_error_order, own.horizon_multiple) == (2, 1)
    assert GradientDescent().near_solution() == GradientDescent()
    near = Ipopt(options={"mu_init": 0.1}).near_solution()
    assert near.options["mu_init"] == 0.1
    assert near.options.keys() > {"mu_init"}


def test_what_cannot_be_refined_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="ContinuousDynamics"):
        refine_mesh(block_move(), DirectTranscription(), Ipopt())
    with pytest.raises(OptionError, match="max_knots = 20"):
        refine_mesh(known("LQR").problem(20), DirectTranscription(), Ipopt(), max_knots=20)
    with pytest.raises(OptionError, match="tolerance"):
        refine_mesh(known("LQR").problem(20), DirectTranscription(), Ipopt(), tolerance=-1.0)
