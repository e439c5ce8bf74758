"""L-BFGS: optima in every transcription, multipliers, bounds, batches, warm starts, precision, honesty."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    block_move,
    block_move_optimum,
    cartpole_data,
    cartpole_swing_up,
    energy_network,
    linear_quadratic,
    riccati,
)
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription, Formulation, MultipleShooting, SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import ControlRateLimit, OptimalControlProblem, Solution, Status, Trajectory
from trajopt_sgp.solvers import LBFGS, solve, solve_batch
from trajopt_sgp.solvers.check import check_solver
from trajopt_sgp.uncertainty import DataDistance

SHOOTING = SingleShooting()


@pytest.mark.parametrize("formulation", [SHOOTING, MultipleShooting(3)], ids=lambda formulation: formulation.name)
def test_reaches_the_linear_quadratic_optimum(formulation: Formulation) -> None:
    optimum, controls = riccati()
    solution = solve(linear_quadratic(control_bounds=(-3.0, 3.0)), formulation, LBFGS())
    assert solution.status is Status.SOLVED
    assert solution.cost == pytest.approx(optimum, rel=1e-6)
    np.testing.assert_allclose(solution.trajectory.controls, controls, atol=1e-4)


def test_direct_transcription_agrees() -> None:
    optimum, _ = riccati(horizon=6)
    solution = solve(linear_quadratic(horizon=6), DirectTranscription(), LBFGS())
    assert solution.status is Status.SOLVED
    assert solution.cost == pytest.approx(optimum, rel=1e-6)
    assert solution.max_violation < 1e-6


def test_terminal_equalities_and_their_multipliers() -> None:
    solution = solve(block_move(), SHOOTING, LBFGS())
    assert solution.status is Status.SOLVED
    np.testing.assert_allclose(solution.trajectory.controls[:, 0], block_move_optimum(), atol=1e-4)
    assert solution.kkt_residual().largest < 1e-5


def test_active_bounds_hold_exactly_and_have_multipliers() -> None:
    solution = solve(linear_quadratic(control_bounds=(-0.3, 0.3)), SHOOTING, LBFGS())
    controls = solution.trajectory.controls
    assert solution.status is Status.SOLVED
    assert (np.abs(controls) == 0.3).any()
    assert np.abs(controls).max() == 0.3
    assert solution.kkt_residual().largest < 1e-6


def test_programs_of_a_batch_do_not_depend_on_each_other() -> None:
    problem = linear_quadratic(control_bounds=(-1.0, 1.0))
    states = np.random.default_rng(0).normal(size=(4, 3))
    guess = Trajectory(np.zeros((4, 13, 3)), np.zeros((4, 12, 2)), 0.1)
    for k, solution in enumerate(solve_batch(problem, states, SHOOTING, LBFGS(), guess)):
        alone = solve(problem.replaced(initial_state=states[k]), SHOOTING, LBFGS(), guess.select(k))
        assert solution.status is alone.status is Status.SOLVED
        np.testing.assert_allclose(solution.trajectory.controls, alone.trajectory.controls, atol=1e-6)


def test_warm_start_from_a_solution_takes_fewer_evaluations() -> None:
    cold = solve(block_move(), SHOOTING, LBFGS())
    warm = solve(block_move(), SHOOTING, LBFGS(), cold)
    assert warm.status is Status.SOLVED
    assert warm.iterations < 0.5 * cold.iterations


def test_tolerance_follows_a_model_in_single_precision() -> None:
    data = cartpole_data()
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (4,), generator=torch.Generator().manual_seed(0))
    solution = solve(cartpole_swing_up(6, 0.05, dynamics=model), SHOOTING, LBFGS(starts=2))
    assert solution.success
    assert len(solution.starts) == 2


def with_score(dtype: torch.dtype, formulation: Formulation) -> Solution:
    """A plan on dynamics in double precision, guided by an energy in another."""
    data = cartpole_data()
    guided = DataDistance(energy_network(data).to(dtype), sigma=0.2)
    problem = cartpole_swing_up(10, 0.05, stage_costs=[lambda x, u: 0.1 * u.square().sum(-1), guided])
    return solve(problem, formulation, LBFGS())


@pytest.mark.parametrize("formulation", [SHOOTING, DirectTranscription()])
def test_tolerance_follows_the_least_precise_model(formulation: Formulation) -> None:
    coarse, fine = (with_score(dtype, formulation) for dtype in (torch.float32, torch.float64))
    assert coarse.status is fine.status is Status.SOLVED
    assert coarse.iterations <= fine.iterations
    assert coarse.cost == pytest.approx(fine.cost, abs=1e-3)


def test_contradictory_constraints_are_reported() -> None:
    solution = solve(block_move(control_bounds=(-1.0, 1.0)), SHOOTING, LBFGS(max_iterations=200))
    assert not solution.success
    assert solution.rows[0].name.startswith("target")


def test_conforms() -> None:
    check_solver(LBFGS(max_iterations=120), SHOOTING)


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(OptionError, match="LBFGS: memory = 0"):
        LBFGS(memory=0)
    with pytest.raises(OptionError, match="LBFGS: tolerance = -1.0"):
        LBFGS(tolerance=-1.0)


class Car(torch.nn.Module):
    """A unicycle in single precision."""

    state_size, control_size = 3, 2

    def __init__(self) -> None:
        super().__init__()
        self.step = torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        forward, turn, heading = control[..., 0], control[..., 1], state[..., 2]
        rate = torch.stack([forward * heading.cos(), forward * heading.sin(), turn], dim=-1)
        after: Tensor = state + self.step * rate
        return after


def test_penalties_beyond_single_precision_are_no_failure() -> None:
    """Their metric is not positive definite after rounding."""
    problem = OptimalControlProblem(
        dynamics=Car(),
        horizon=15,
        time_step=0.1,
        initial_state=[0.0, 0.0, 0.7],
        control_bounds=([0.0, -1.5], [1.0, 1.5]),
        stage_costs=[lambda x, u: 0.01 * u.square().sum(-1)],
        terminal_costs=[lambda x: 10.0 * (x[..., :2] - 2.0).square().sum(-1)],
        constraints=[ControlRateLimit(1.5)],
    )
    solution = solve(problem, SingleShooting(), LBFGS(starts=2, max_iterations=60))
    assert np.isfinite(solution.cost)
    assert solution.scaled_violation < 1e-3
