"""Planners that do well for a while and then fail."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from trajopt_sgp.hardware.processes.planner import Plan, PlannedMotion, PlanningProblem
from trajopt_sgp.hardware.processes.sway import make_sway
from trajopt_sgp.hardware.settings import HardwareSettings

GOOD_SECONDS = 2.0
"""How long they do well."""
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
    begun: list[float] = []

    def plan(problem: PlanningProblem) -> PlannedMotion:
        begun.append(problem.time)
        motion = sway(problem)
        bad = GOOD_SECONDS <= problem.time - begun[0] < GOOD_SECONDS + BAD_SECONDS
        return fail(motion) if bad else motion

    return plan
