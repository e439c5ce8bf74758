"""Planners that do well until they are told to fail, by a signal."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from trajopt_sgp.hardware.processes.planner import Plan, PlannedMotion, PlanningProblem
from trajopt_sgp.hardware.processes.sway import make_sway
from trajopt_sgp.hardware.settings import HardwareSettings

FAIL = signal.SIGUSR1
"""At this signal they begin to fail."""
BAD_SECONDS = 2.5
"""How long they fail."""


class InjectedError(Exception):
    """What a failing planner raises."""


def make_late(settings: HardwareSettings) -> Plan:
    """Return a planner that once takes far too long."""

    def sleep(motion: PlannedMotion) -> PlannedMotion:
        time.sleep(BAD_SECONDS)
        return motion

    return _failing(settings, sleep)


def make_failing(settings: HardwareSettings) -> Plan:
    """Return a planner that raises an error."""

    def fail(motion: PlannedMotion) -> PlannedMotion:
        raise InjectedError("the solver failed")

    return _failing(settings, fail)


def make_not_a_number(settings: HardwareSettings) -> Plan:
    """Return a planner whose plans become NaN."""
    return _failing(settings, lambda motion: replace(motion, knots=np.full_like(motion.knots, np.nan)))


def _failing(settings: HardwareSettings, fail: Callable[[PlannedMotion], PlannedMotion]) -> Plan:
    sway = make_sway(settings)
    failing_since: list[float] = []
    signal.signal(FAIL, lambda number, frame: failing_since.append(time.monotonic()))

    def plan(problem: PlanningProblem) -> PlannedMotion:
        motion = sway(problem)
        bad = failing_since and time.monotonic() - failing_since[-1] < BAD_SECONDS
        return fail(motion) if bad else motion

    return plan
