"""Episodes of a controller in several environments at once, and their returns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.d4rl.environments import make_environment
from trajopt_sgp.data import d4rl_score

FloatArray = NDArray[np.float64]
Controller = Callable[[FloatArray], FloatArray]
"""States `(E, n)` of all environments to controls `(E, m)`."""


@dataclass(frozen=True)
class Played:
    """What came of it."""

    returns: FloatArray
    """Of each episode, undiscounted, `(E,)`."""
    lengths: NDArray[np.int64]
    """Steps of each episode, `(E,)`."""
    scores: FloatArray
    """Normalised returns, `(E,)`."""


def play(task: str, controller: Controller, episodes: int, seed: int, steps: int = 1000) -> Played:
    """Play each of `episodes` environments until it ends, or for `steps` steps.

    Those that have ended stay in the batch in their last states, so that a controller always sees as many.

    Args:
        task: of D4RL, or its robot.
        controller: of all environments.
        episodes: number of environments E.
        seed: of the first environment; the others follow.
        steps: at most so many.
    """
    environments = [make_environment(task) for _ in range(episodes)]
    states = np.array([e.reset(seed=seed + i)[0] for i, e in enumerate(environments)])
    returns, lengths, active = np.zeros(episodes), np.zeros(episodes, dtype=np.int64), np.ones(episodes, dtype=np.bool_)
    for _ in range(steps):
        controls = controller(states)
        for i in np.flatnonzero(active):
            states[i], reward, terminated, truncated, _ = environments[i].step(controls[i])
            returns[i] += float(reward)
            lengths[i] += 1
            active[i] = not (terminated or truncated)
        if not active.any():
            break
    for environment in environments:
        environment.close()
    return Played(returns, lengths, d4rl_score(task, returns))
