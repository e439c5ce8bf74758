"""Random goals, each with a box, a start of the box and a start of the pusher."""

from dataclasses import dataclass, replace

import numpy as np

from trajopt_sgp.envs.pusher_tasks import ARM_REGION, random_goal, random_start
from trajopt_sgp.hardware.arm_pusher import TIP_HEIGHT, ArmPusherEnv, ArmRandomization
from trajopt_sgp.hardware.settings import HardwareSettings

REACH, TURN = 0.25, 90.0
"""Largest distance [m] and angle [degrees] between box and goal at the start."""
PARKED = (0.45, 0.0, 0.09)
"""Where the tip is before it is moved to the start, above the box [m]."""


@dataclass(frozen=True)
class GoalTask:
    """One goal.

    Attributes:
        goal, box: Pose wanted and pose at the start: x, y [m], angle [rad].
        pusher: Where the tip starts, x, y, z [m].
        mass, table_friction, pusher_friction: Of the simulated box [kg].
    """

    goal: tuple[float, float, float]
    box: tuple[float, float, float]
    pusher: tuple[float, float, float]
    mass: float
    table_friction: float
    pusher_friction: float

    def settings(self, settings: HardwareSettings) -> HardwareSettings:
        """Return settings with this goal, and a simulator in which the box stands at the start."""
        return replace(
            settings,
            goal=self.goal,
            simulated_box=self.box,
            simulated_tip=PARKED,
            simulated_mass=self.mass,
            simulated_table_friction=self.table_friction,
            simulated_pusher_friction=self.pusher_friction,
        )


def draw_tasks(count: int, seed: int) -> list[GoalTask]:
    """Return random tasks, drawn as `trajopt_sgp/ArmPusher-v0` draws its boxes; the first do not depend on `count`."""
    return [_draw(np.random.default_rng([seed, number])) for number in range(count)]


def _draw(generator: np.random.Generator) -> GoalTask:
    goal = random_goal(ARM_REGION, generator)
    start = random_start(ARM_REGION, goal, REACH, TURN, ArmPusherEnv.pusher_box, generator)
    ranges, draw = ArmRandomization(), generator.uniform
    x, y, angle, *pusher = start.tolist()
    return GoalTask(
        goal=tuple(goal.tolist()),
        box=(x, y, angle),
        pusher=(pusher[0], pusher[1], TIP_HEIGHT),
        mass=draw(ranges.mass_low, ranges.mass_high),
        table_friction=draw(ranges.table_friction_low, ranges.table_friction_high),
        pusher_friction=draw(ranges.friction_low, ranges.friction_high),
    )
