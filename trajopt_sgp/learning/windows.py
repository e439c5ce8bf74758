"""Stretches of episodes, for losses that look several steps ahead."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions


def windows(transitions: Transitions, steps: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return what follows every transition within its episode.

    Args:
        transitions: K of them.
        steps: how far to look, H.

    Returns:
        States `(K, n)`, controls `(K, H, m)`, next states `(K, H, n)`, and 1 where the episode goes on so far, each
        transition from where the one before it ended, else 0, `(K, H)`; beyond that stand transitions of others.
    """
    ahead = np.arange(len(transitions))[:, None] + np.arange(steps)
    inside = np.minimum(ahead, len(transitions) - 1)
    joined = (transitions.next_states[:-1] == transitions.states[1:]).all(axis=1)
    joined &= transitions.episodes[:-1] == transitions.episodes[1:]
    # the first row of each unbroken stretch tells it from the others
    stretch = np.concatenate([[0], np.cumsum(~joined)])
    known = (ahead == inside) & (stretch[inside] == stretch[:, None])
    return transitions.states, transitions.controls[inside], transitions.next_states[inside], known.astype(np.float64)
