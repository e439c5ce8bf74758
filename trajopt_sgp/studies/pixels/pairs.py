"""Starts and goals on opposite sides of the hole."""

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PixelWorld

MOST_STEPS = 13
"""Steps of the data's control range within which the shortest way around the hole fits."""

_NEAREST, _FARTHEST = 0.45, 0.75
_TURN = 0.4
_ARC = 200


def opposite_pairs(
    world: PixelWorld, count: int, generator: np.random.Generator
) -> list[tuple[FloatArray, FloatArray]]:
    """Draw pairs of start and goal `(2,)`, the straight line between them through the hole.

    The shortest way around the hole takes at most 13 steps whose coordinates are within the limit of controls.
    """
    return pairs_within(world, count, generator, MOST_STEPS)


def pairs_within(
    world: PixelWorld, count: int, generator: np.random.Generator, steps: int
) -> list[tuple[FloatArray, FloatArray]]:
    """Draw pairs of start and goal `(2,)` whose shortest way around the hole takes at most so many steps.

    With 13 steps or more they are on opposite sides of the hole. With fewer they are as far apart as that allows, in
    any direction, and take more than two thirds of the steps.
    """
    opposite = steps >= MOST_STEPS
    pairs: list[tuple[FloatArray, FloatArray]] = []
    while len(pairs) < count:
        angle, turn = generator.uniform(-np.pi, np.pi), np.pi + generator.uniform(-_TURN, _TURN)
        near, far = generator.uniform(_NEAREST, _FARTHEST, 2) * world.half_side
        turn = turn if opposite else generator.uniform(0.0, turn)
        start, goal = near * _direction(angle), far * _direction(angle + turn)
        way = way_around(world, start, goal)
        if way <= min(steps, MOST_STEPS) and (opposite or way > 2 * steps / 3):
            pairs.append((start, goal))
    return pairs


def way_around(world: PixelWorld, start: ArrayLike, goal: ArrayLike) -> float:
    """Return how many steps of the control range the shortest way around the hole takes, not rounded.

    It follows a tangent, the rim of the hole and another tangent. Both places lie outside the hole.
    """
    first, last = (np.asarray(place, dtype=np.float64) for place in (start, goal))
    angles = [float(np.arctan2(place[1], place[0])) for place in (first, last)]
    slack = [float(np.arccos(world.hole / np.linalg.norm(place))) for place in (first, last)]
    counts = []
    for side in (1.0, -1.0):
        begin = angles[0] + side * slack[0]
        end = begin + side * max(0.0, (side * (angles[1] - angles[0])) % (2.0 * np.pi) - sum(slack))
        rim = world.hole * _direction(np.linspace(begin, end, _ARC))
        path = np.concatenate([first[None], rim, last[None]])
        counts.append(float(np.abs(np.diff(path, axis=0)).max(axis=1).sum() / world.control_limit))
    return min(counts)


def _direction(angle: float | FloatArray) -> FloatArray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
