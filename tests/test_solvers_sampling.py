"""CEM and MPPI: noise, optima, constraints, batches, repeatability, memory, single precision, refusals."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.problems import (
    around_a_pillar,
    block_move,
    cartpole_data,
    cartpole_swing_up,
    linear_quadratic,
    riccati,
)
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import Status, Trajectory
from trajopt_sgp.solvers import CEM, MPPI, solve, solve_batch
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.check import check_solver
from trajopt_sgp.solvers.sampling import coloured_noise

SHOOTING = SingleShooting()
KINDS = [CEM, MPPI]


@pytest.mark.parametrize("steps", [15, 16])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_unit_variance_and_falls_with_the_frequency(
    steps: int, exponent: float, generator: torch.Generator
) -> None:
    noise = coloured_noise(20000, steps, 2, exponent, generator)
    assert noise.shape == (20000, steps, 2)
    np.testing.assert_allclose(noise.var(dim=0), 1.0, atol=0.06)
    power = torch.fft.rfft(noise, dim=1).abs().square().mean(dim=(0, 2)).numpy()
    inner = np.arange(1, 7)
    slope = np.polyfit(np.log(inner), np.log(power[inner]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_reaches_the_linear_quadratic_optimum(kind: Any) -> None:
    optimum, _ = riccati()
    solution = solve(linear_quadratic(control_bounds=(-3.0, 3.0)), SHOOTING, kind())
    assert solution.status is Status.CONVERGED
    assert solution.cost <= 1.05 * optimum
    assert solution.iterations == len(solution.log) == 100
    assert solution.log[-1]["best"] == pytest.approx(solution.cost)


@pytest.mark.parametrize("kind", KINDS)
def test_swings_a_cart_pole_up(kind: Any) -> None:
    """The optimum is what Ipopt and gradient descent find."""
    solution = solve(cartpole_swing_up(40, 0.05), SHOOTING, kind())
    assert solution.cost <= 1.05 * 1.304278


@pytest.mark.parametrize("kind", KINDS)
def test_path_constraint_is_met(kind: Any) -> None:
    """The optima on the two sides of the pillar cost 9.179 and 8.408."""
    solution = solve(around_a_pillar(), SHOOTING, kind())
    assert solution.max_violation <= 1e-5
    assert solution.cost <= 1.05 * 9.1792


@pytest.mark.parametrize("solver", [CEM(iterations=10, population=64), MPPI(iterations=10, population=64)])
def test_batches_chunks_and_seeds(solver: Solver) -> None:
    """A program does not depend on others of its batch, nor on how many rollouts are made at once."""
    problem = linear_quadratic(control_bounds=(-1.0, 1.0))
    states = np.random.default_rng(0).normal(size=(3, 3))
    guess = Trajectory(np.zeros((3, 13, 3)), np.zeros((3, 12, 2)), 0.1)
    together = solve_batch(problem, states, SHOOTING, solver, guess)
    small = type(solver)(iterations=10, population=64, rows_per_call=50)  # type: ignore[call-arg]
    for k, solution in enumerate(together):
        alone = solve(problem.replaced(initial_state=states[k]), SHOOTING, small, guess.select(k))
        np.testing.assert_allclose(solution.trajectory.controls, alone.trajectory.controls, atol=1e-9)
    again = solve_batch(problem, states, SHOOTING, solver, guess)
    assert again[0].trajectory.controls.tobytes() == together[0].trajectory.controls.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_guess_is_never_made_worse(kind: Any) -> None:
    _, controls = riccati()
    guess = Trajectory(np.zeros((13, 3)), controls, 0.1)
    solution = solve(linear_quadratic(), SHOOTING, kind(iterations=2, population=40), guess)
    assert solution.cost <= riccati()[0] * (1.0 + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_in_single_precision_serves(kind: Any) -> None:
    data = cartpole_data()
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (8,), generator=torch.Generator().manual_seed(0))
    problem = cartpole_swing_up(horizon=6, time_step=0.05, dynamics=model)
    solution = solve(problem, SHOOTING, kind(iterations=8, population=64, starts=2))
    assert len(solution.starts) == 2
    assert solution.log[-1]["best"] <= solution.log[0]["best"]
    assert solution.rows == ()


@pytest.mark.parametrize("kind", KINDS)
def test_equalities_are_refused_by_name(kind: Any) -> None:
    with pytest.raises(IncompatibleError, match="cannot meet target.* exactly"):
        solve(block_move(), SHOOTING, kind())


@pytest.mark.parametrize("kind", KINDS)
def test_free_initial_states_are_refused(kind: Any) -> None:
    with pytest.raises(IncompatibleError, match="draws controls only, but .* is to be found as well"):
        solve(linear_quadratic(initial_state=None, state_bounds=(-2.0, 2.0)), SHOOTING, kind())


@pytest.mark.parametrize("solver", [CEM(iterations=60), MPPI(iterations=60)])
def test_conforms(solver: Solver) -> None:
    check_solver(solver, tolerance=0.05)


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(OptionError, match="CEM: momentum = 1.0"):
        CEM(momentum=1.0)
    with pytest.raises(OptionError, match="MPPI: temperature = 0.0"):
        MPPI(temperature=0.0)
