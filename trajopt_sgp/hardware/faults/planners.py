"""Planners that do well until they are told to fail, by a signal."""

import signal
import time
from collections.abc import Callable

import numpy as np

from trajopt_sgp.hardware.processes.planner import Plan, PlanningProblem
from trajopt_sgp.hardware.processes.sway import make_sway
from trajopt_sgp.hardware.safety.motion import FloatArray
from trajopt_sgp.hardware.settings import HardwareSettings

FAIL = signal.SIGUSR1
"""At this signal they begin to fail."""
BAD_SECONDS = 2.5
"""How long they fail."""


class InjectedError(Exception):
    """What a failing planner raises."""


def make_late(settings: HardwareSettings) -> Plan:
    """Return a planner that once takes far too long."""

    def sleep(knots: FloatArray) -> FloatArray:
        time.sleep(BAD_SECONDS)
        return knots

    return _failing(settings, sleep)


def make_failing(settings: HardwareSettings) -> Plan:
    """Return a planner that raises an error."""

    def fail(knots: FloatArray) -> FloatArray:
        raise InjectedError("the solver failed")

    return _failing(settings, fail)


def make_not_a_number(settings: HardwareSettings) -> Plan:
    """Return a planner whose plans become NaN."""
    return _failing(settings, lambda knots: np.full_like(knots, np.nan))


def _failing(settings: HardwareSettings, fail: Callable[[FloatArray], FloatArray]) -> Plan:
    sway = make_sway(settings)
    failing_since: list[float] = []
    signal.signal(FAIL, lambda number, frame: failing_since.append(time.monotonic()))

    def plan(problem: PlanningProblem) -> FloatArray:
        knots = sway(problem)
        bad = failing_since and time.monotonic() - failing_since[-1] < BAD_SECONDS
        return fail(knots) if bad else knots

    return plan
