"""Random tasks for a pusher: a pose that the box shall have, and a start from which it can be pushed there."""

from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.planar_pusher import WORKSPACE_HIGH, WORKSPACE_LOW, pusher_gap
from trajopt_sgp.envs.pusher_equations import PusherParameters

Corner = tuple[float, float]

_CLEARANCE = 0.008
_MARGIN = 0.02


@dataclass(frozen=True)
class PushRegion:
    """Corners of where the centre of the box is, as goal and as start [m]."""

    goal_low: Corner
    goal_high: Corner
    start_low: Corner = WORKSPACE_LOW
    start_high: Corner = WORKSPACE_HIGH


PLANAR_REGION = PushRegion((0.6, -0.05), (0.7, 0.05))
# the arm must reach around the box
ARM_REGION = PushRegion((0.55, -0.05), (0.61, 0.05), (0.5, -0.18), (0.66, 0.18))


def random_goal(region: PushRegion, generator: np.random.Generator) -> FloatArray:
    """Return a pose `(3,)`: x, y [m], any angle [rad]."""
    return np.array([*generator.uniform(region.goal_low, region.goal_high), generator.uniform(-np.pi, np.pi)])


def random_start(
    region: PushRegion,
    goal: FloatArray,
    reach: float,
    turn: float,
    pusher_box: tuple[Corner, Corner],
    generator: np.random.Generator,
) -> FloatArray:
    """Return box x, y, angle and pusher x, y: the box uniform in a disc around the goal, the pusher near the box.

    Args:
        region: where the box may be.
        goal: pose `(3,)`.
        reach: radius of the disc [m].
        turn: largest angle between box and goal [degrees].
        pusher_box: corners of where the pusher may be [m].
        generator: of the randomness.
    """
    pose = _random_pose(region, goal, reach, turn, generator)
    low, high = np.array(pusher_box) + np.array([[_MARGIN], [-_MARGIN]])
    while True:
        pusher = np.clip(pose[:2] + generator.uniform(-0.2, 0.2, 2), low, high)
        if pusher_gap(pose, pusher, PusherParameters()) > _CLEARANCE:
            return np.concatenate([pose, pusher])


def _random_pose(
    region: PushRegion, goal: FloatArray, reach: float, turn: float, generator: np.random.Generator
) -> FloatArray:
    while True:
        direction, radius = generator.uniform(-np.pi, np.pi), reach * np.sqrt(generator.uniform())
        angle = np.radians(generator.uniform(-turn, turn))
        pose: FloatArray = goal + np.array([radius * np.cos(direction), radius * np.sin(direction), angle])
        if ((pose[:2] >= region.start_low) & (pose[:2] <= region.start_high)).all():
            return pose
