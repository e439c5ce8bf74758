"""Stretches of episodes, for losses that look several steps ahead."""

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.data import Transitions

FloatArray = NDArray[np.float64]


def windows(transitions: Transitions, steps: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return what follows every transition within its episode.

    Args:
        transitions: K of them, those of an episode consecutive and in order.
        steps: how far to look, H.

    Returns:
        States `(K, n)`, controls `(K, H, m)`, next states `(K, H, n)`, and 1 where the episode goes so far, else 0,
        `(K, H)`; beyond its end stand transitions of others.
    """
    ahead = np.arange(len(transitions))[:, None] + np.arange(steps)
    inside = np.minimum(ahead, len(transitions) - 1)
    known = (ahead == inside) & (transitions.episodes[inside] == transitions.episodes[:, None])
    return transitions.states, transitions.controls[inside], transitions.next_states[inside], known.astype(np.float64)
