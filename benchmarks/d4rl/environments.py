"""The environments that D4RL's scores are about."""

import warnings
from typing import Any

import gymnasium

from trajopt_sgp.data import d4rl_robot

IDS = {"halfcheetah": "HalfCheetah-v4", "hopper": "Hopper-v4", "walker2d": "Walker2d-v4"}
"""By robot. Version 5 has other rewards in a Hopper's last step, and other friction under a Walker's feet."""


def make_environment(name: str) -> gymnasium.Env[Any, Any]:
    """Return the environment of a robot or task: 1000 steps at most, ended where the robot falls.

    Raises:
        OptionError: D4RL has no such robot.
    """
    with warnings.catch_warnings():
        # Gymnasium would rather have version 5, which D4RL's reference returns are not of
        warnings.filterwarnings("ignore", message=".*out of date.*", category=DeprecationWarning)
        return gymnasium.make(IDS[d4rl_robot(name)])
