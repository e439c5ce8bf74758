"""Ctrl-C during a solve: the best iterate comes back within a second, in every solver for one program at a time."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import cartpole_swing_up
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers import SQP, Fatrop, Ipopt, Scipy, prepare
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.interruption import Interruption
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.process_pool import in_processes

SOLVERS = [Ipopt(), SQP(), Fatrop(), Scipy(), Scipy(method="SLSQP")]
PAUSE = 0.02


def slow_cost(state: Tensor, control: Tensor) -> Tensor:
    time.sleep(PAUSE)
    assert bool(torch.isfinite(state).all())  # what reads numbers is called every time, not traced
    return (control / 80.0).square().sum(-1)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
def test_interrupted_solve_returns_the_best_iterate_within_a_second(solver: Solver) -> None:
    prepared = prepare(cartpole_swing_up(stage_costs=[slow_cost]), DirectTranscription(), solver)
    prepared.solve(time_limit=0.1)
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    solution = prepared.solve()
    assert time.perf_counter() - pressed[0] < 1.0
    timer.join()
    assert solution.status is Status.INTERRUPTED
    assert np.isfinite(solution.trajectory.states).all()
    assert solution.max_violation <= 1e-6  # the guess is rolled out, and nothing worse may come back
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupted_processes_return_every_program() -> None:
    problem = cartpole_swing_up(stage_costs=[slow_cost])
    prepared = in_processes(prepare(problem, DirectTranscription(), Ipopt()), workers=2)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.perf_counter()
    solutions = prepared.solve_batch(np.zeros((6, 4)))
    assert time.perf_counter() - begin < 3.0
    timer.join()
    assert len(solutions) == 6
    assert solutions[-1].status is Status.INTERRUPTED


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_nobody_asked_about_is_not_lost() -> None:
    """A solver in its last iteration looks no more."""
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        assert not interruption.requested
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_was_answered_ends_with_the_block() -> None:
    with Interruption() as interruption:
        press()
        assert interruption.requested


def test_a_signal_goes_to_the_handler_from_before() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        with Interruption():
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]


def test_an_outer_block_learns_what_an_inner_one_has_answered() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt), Interruption():
        with Interruption() as inner:
            press()
            assert inner.requested
        reached.append("after the inner block")
        with Interruption() as next_one:
            assert next_one.requested
        reached.append("at the end")
    assert reached == ["after the inner block", "at the end"]


def test_a_second_signal_ends_all_blocks_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption(), Interruption():
        press()
        press()
        pytest.fail("went on")


def test_limits_tell_what_is_left_of_the_time() -> None:
    none = Limits(None)
    assert (none.left, none.overrun, none.reached()) == (None, None, None)
    ample = Limits(100.0)
    assert ample.left is not None and 90.0 < ample.left <= 100.0
    assert ample.overrun == 0.0 and ample.reached() is None
    over = Limits(1e-9)
    time.sleep(1e-3)
    assert over.left == pytest.approx(1e-9)
    assert over.overrun is not None and over.overrun > 0.0
    assert over.reached() is Status.TIME_LIMIT and over.seconds >= 1e-3


def test_ctrl_c_reaches_limits_within_their_block() -> None:
    with Limits(None) as limits:
        assert not limits.interrupted
        signal.raise_signal(signal.SIGINT)
        assert limits.reached() is Status.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
