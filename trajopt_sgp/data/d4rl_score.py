"""The tasks of D4RL's locomotion suite, and the normalised score of returns in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError

D4RL_LEVELS = ("random", "medium", "medium-replay", "medium-expert")
"""How good the policies are that the data come from."""


@dataclass(frozen=True)
class ReferenceReturns:
    """Returns that D4RL gives the scores 0 and 100."""

    random: float
    """Score 0."""
    expert: float
    """Score 100."""


D4RL_RETURNS = {
    "halfcheetah": ReferenceReturns(-280.178953, 12135.0),
    "hopper": ReferenceReturns(-20.272305, 3234.3),
    "walker2d": ReferenceReturns(1.629008, 4592.3),
}
"""By robot; the same for all versions (J. Fu et al., D4RL, 2020, `d4rl/infos.py`)."""

D4RL_TASKS = tuple(f"{robot}-{level}" for robot in D4RL_RETURNS for level in D4RL_LEVELS)
"""The twelve tasks, "halfcheetah-medium-replay" for example."""


def d4rl_robot(name: str) -> str:
    """Return the robot of a task such as "hopper-medium-v2", an environment such as "Hopper-v4", or a robot.

    Raises:
        OptionError: D4RL has no such robot; lists those it has.
    """
    if not is_d4rl_robot(name):
        raise OptionError(f"{name!r} is of no robot that D4RL scores; choose from {list(D4RL_RETURNS)}.")
    return _robot(name)


def is_d4rl_robot(name: str) -> bool:
    """Return whether a task, an environment or a robot is of one of D4RL's robots."""
    return _robot(name) in D4RL_RETURNS


def _robot(name: str) -> str:
    return name.lower().partition("-")[0]


def d4rl_score(name: str, returns: float | Sequence[float] | FloatArray) -> FloatArray:
    """Return normalised scores, 0 for D4RL's random and 100 for its expert policy, in the shape of `returns`.

    Args:
        name: of a task, an environment or a robot, as `d4rl_robot` takes it.
        returns: undiscounted sums of rewards of whole episodes of at most 1000 steps.

    Raises:
        OptionError: D4RL has no such robot.
    """
    reference = D4RL_RETURNS[d4rl_robot(name)]
    distance = reference.expert - reference.random
    return np.asarray(100.0 * (np.asarray(returns, dtype=np.float64) - reference.random) / distance)
