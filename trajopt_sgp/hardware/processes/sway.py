"""A planner without a model: the pusher goes to and fro beside the box. For first runs on an arm, and for tests."""

import numpy as np

from trajopt_sgp.hardware.processes.planner import Plan, PlannedMotion, PlanningProblem
from trajopt_sgp.hardware.settings import HardwareSettings

WIDTH = 0.04
"""How far it goes to either side of where it was first [m]."""
PERIOD = 3.2
"""How long to and fro takes [s]."""


def make_sway(settings: HardwareSettings) -> Plan:
    """Return the planner; its motion begins at the first position it is asked for."""
    beginning: list[PlanningProblem] = []

    def plan(problem: PlanningProblem) -> PlannedMotion:
        beginning[:] = beginning or [problem]
        times = problem.time - beginning[0].time + settings.action_duration * np.arange(5)
        knots = np.tile(beginning[0].pusher, (len(times), 1))
        knots[:, 1] += WIDTH * np.sin(2 * np.pi / PERIOD * times)
        return PlannedMotion(knots, settings.action_duration)

    return plan
