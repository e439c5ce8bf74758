"""Episodes of a controller in several environments at once, and their returns."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.data import Transitions, d4rl_score
from trajopt_sgp.studies.d4rl.environments import is_scored, make_environment

Controller = Callable[[FloatArray], FloatArray]
"""States `(E, n)` of all environments to controls `(E, m)`."""


@dataclass(frozen=True)
class Played:
    """What came of it."""

    environment: str
    """As it was asked for."""
    returns: FloatArray
    """Of each episode, undiscounted, `(E,)`."""
    lengths: IntArray
    """Steps of each episode, `(E,)`."""
    seconds: FloatArray
    """Wall time of each call of the controller [s]."""

    @property
    def scores(self) -> FloatArray | None:
        """Returns normalised as D4RL does, `(E,)`; None where it has no reference returns."""
        return d4rl_score(self.environment, self.returns) if is_scored(self.environment) else None


def play(
    environment: str,
    controller: Controller,
    episodes: int,
    seed: int,
    steps: int = 1000,
    progress: Callable[[int], None] = lambda done: None,
) -> Played:
    """Play each of `episodes` environments until it ends, or for `steps` steps.

    Those that have ended stay in the batch in their last states, so that a controller always sees as many.

    Args:
        environment: id in Gymnasium, or a robot or task of D4RL.
        controller: of all environments.
        episodes: number of environments E.
        seed: of the first environment; the others follow.
        steps: at most so many.
        progress: called with the steps that are done.

    Raises:
        OptionError: there is no such environment.
    """
    environments = [make_environment(environment) for _ in range(episodes)]
    states = np.array([e.reset(seed=seed + i)[0] for i, e in enumerate(environments)], dtype=np.float64)
    returns, lengths, active = np.zeros(episodes), np.zeros(episodes, dtype=np.int64), np.ones(episodes, dtype=np.bool_)
    seconds: list[float] = []
    while active.any() and len(seconds) < steps:
        begin = time.perf_counter()
        controls = controller(states)
        seconds.append(time.perf_counter() - begin)
        for i in np.flatnonzero(active):
            states[i], reward, terminated, truncated, _ = environments[i].step(controls[i])
            returns[i] += float(reward)
            lengths[i] += 1
            active[i] = not (terminated or truncated)
        progress(len(seconds))
    for made in environments:
        made.close()
    return Played(environment, returns, lengths, np.array(seconds))


def whole_returns(transitions: Transitions, steps: int = 1000) -> FloatArray:
    """Return the sums of rewards of the episodes in data that ended by themselves or took `steps` steps.

    Raises:
        DatasetError: the data have no rewards.
    """
    _, inverse, lengths = np.unique(transitions.episodes, return_inverse=True, return_counts=True)
    sums = np.asarray(np.bincount(inverse, weights=transitions.require_rewards()), dtype=np.float64)
    ended = np.bincount(inverse, weights=transitions.terminated) > 0
    return sums[ended | (lengths >= steps)]
