"""Programs of a batch in forked processes: the same results, limits and errors as one after another."""

import numpy as np
import pytest
from torch import Tensor

from tests.problems import cartpole_swing_up
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers import Ipopt, solve_batch
from trajopt_sgp.solvers.process_pool import solve_in_processes

STATES = 0.1 * np.random.default_rng(3).normal(size=(5, 4))


def test_processes_give_the_results_of_one_process() -> None:
    problem = cartpole_swing_up(horizon=12)
    apart = solve_in_processes(problem, STATES, DirectTranscription(), Ipopt(), workers=2)
    together = solve_batch(problem, STATES, DirectTranscription(), Ipopt())
    for mine, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(mine.variables, other.variables)
        assert mine.status is other.status is Status.SOLVED
        assert mine.iterations == other.iterations
        np.testing.assert_array_equal(mine.multipliers["constraints"], other.multipliers["constraints"])


def test_time_limit_holds_for_the_whole_batch() -> None:
    problem = cartpole_swing_up(horizon=60, time_step=0.05)
    solutions = solve_in_processes(problem, STATES, DirectTranscription(), Ipopt(), time_limit=1e-3)
    assert [solution.status for solution in solutions] == [Status.TIME_LIMIT] * len(STATES)


def test_error_of_a_users_function_reaches_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    calls = []

    def fragile(state: Tensor, control: Tensor) -> Tensor:
        calls.append(float(state.detach().sum()))  # what reads numbers is called every time, not traced
        if len(calls) > 12:
            raise ZeroDivisionError("the user's own mistake")
        return control.square().sum(-1)

    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        solve_in_processes(cartpole_swing_up(stage_costs=[fragile]), STATES, DirectTranscription(), Ipopt())
    assert capfd.readouterr().err == ""


def test_number_of_workers_is_checked() -> None:
    with pytest.raises(OptionError, match="workers = 0; it must be a whole number"):
        solve_in_processes(cartpole_swing_up(), STATES, DirectTranscription(), Ipopt(), workers=0)
