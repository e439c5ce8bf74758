"""Episodes as Minari's collector keeps them, drawn until there are enough."""

from collections.abc import Callable

import numpy as np
from minari.data_collector import EpisodeBuffer

from trajopt_sgp.arrays import AnyArray


def make_episode(
    observations: AnyArray, actions: AnyArray, rewards: AnyArray | None = None, terminated: bool = False
) -> EpisodeBuffer:
    """Return an episode of T steps: it ends with the last one, terminated by the environment or else truncated.

    Args:
        observations: `(T + 1, ...)`.
        actions: `(T, ...)`.
        rewards: `(T,)`; zero where there are none.
        terminated: whether the environment ended it.
    """
    last = np.arange(len(actions)) == len(actions) - 1
    return EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=np.zeros(len(actions)) if rewards is None else rewards,
        terminations=last & terminated,
        truncations=last & (not terminated),
    )


def gather_episodes(
    transitions: int, draw: Callable[[int], EpisodeBuffer], progress: Callable[[int], object] | None = None
) -> list[EpisodeBuffer]:
    """Return episodes with exactly so many transitions; those without a step are left out.

    Args:
        transitions: number of transitions.
        draw: the largest number of steps that are still needed to an episode of no more than these.
        progress: called after each episode with the number of transitions so far.
    """
    buffers: list[EpisodeBuffer] = []
    collected = 0
    while collected < transitions:
        buffer = draw(transitions - collected)
        if len(buffer):
            buffers.append(buffer)
            collected += len(buffer)
            if progress is not None:
                progress(collected)
    return buffers
