"""A planner for tests: straight on in x until the box is at its goal."""

import numpy as np

from trajopt_sgp.hardware.mocap import apply, motion_of
from trajopt_sgp.hardware.processes.planner import Plan, PlannedMotion, PlanningProblem
from trajopt_sgp.hardware.settings import HardwareSettings

STEP = 0.02
"""In an action [m]."""


def make_straight(settings: HardwareSettings) -> Plan:
    """Return the planner."""
    goal = apply(motion_of(np.asarray(settings.goal)), np.asarray(settings.box_keypoints))

    def plan(problem: PlanningProblem) -> PlannedMotion:
        missing = np.linalg.norm(problem.keypoints - goal, axis=1).mean()
        steps = np.arange(0 if missing <= settings.goal_tolerance else 4)
        knots = problem.pusher + np.outer(np.append(0, steps + 1), [STEP, 0.0, 0.0])
        return PlannedMotion(knots, settings.action_duration)

    return plan
