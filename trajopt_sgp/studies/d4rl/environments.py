"""The environments that D4RL's scores are about, and others by their id."""

import warnings
from typing import Any

import gymnasium

from trajopt_sgp.data import d4rl_robot, is_d4rl_robot
from trajopt_sgp.errors import OptionError

IDS = {"halfcheetah": "HalfCheetah-v4", "hopper": "Hopper-v4", "walker2d": "Walker2d-v4"}
"""By robot. Version 5 has other rewards in a Hopper's last step, and other friction under a Walker's feet."""


def make_environment(name: str) -> gymnasium.Env[Any, Any]:
    """Return the environment with an id in Gymnasium, or that of a robot or task of D4RL.

    Those of D4RL take 1000 steps at most, and end where the robot falls.

    Raises:
        OptionError: there is no such environment, or what it needs is not installed.
    """
    if name not in gymnasium.registry and not is_d4rl_robot(name):
        raise OptionError(
            f"Gymnasium has no environment {name!r}, and it is no robot or task of D4RL such as {', '.join(IDS)}."
        )
    identity = name if name in gymnasium.registry else IDS[d4rl_robot(name)]
    with warnings.catch_warnings():
        # Gymnasium would rather have version 5, which D4RL's reference returns are not of
        warnings.filterwarnings("ignore", message=".*out of date.*", category=DeprecationWarning)
        try:
            return gymnasium.make(identity)
        except gymnasium.error.DependencyNotInstalled as error:
            raise OptionError(f"{identity} cannot be made: {error}") from error


def is_scored(name: str) -> bool:
    """Return whether D4RL's reference returns are those of an environment, given by its id, robot or task."""
    robots = (robot for robot, identity in IDS.items() if name == identity or name.partition("-")[0] == robot)
    return next(robots, None) is not None
