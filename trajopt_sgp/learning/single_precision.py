"""Whether single precision, in which networks are trained, resolves the steps of data."""

import warnings

import numpy as np

from trajopt_sgp.data import Transitions
from trajopt_sgp.data.spread import step_spread

_COARSE = 0.01


def warn_of_coarse_states(transitions: Transitions) -> None:
    """Warn of states so far from zero that rounding them is more than a hundredth of the spread of their steps.

    A map's coordinates in metres and clocks in seconds since 1970 are such states.
    """
    rounding = 0.5 * np.finfo(np.float32).eps * np.abs(transitions.next_states).max(axis=0)
    spread = step_spread(transitions)
    coarse = np.flatnonzero((spread > 0.0) & (rounding > _COARSE * spread))
    if not len(coarse):
        return
    worst = coarse[np.argmax(rounding[coarse] / spread[coarse])]
    reach = np.abs(transitions.next_states[:, worst]).max()
    warnings.warn(
        f"Dataset {transitions.dataset.id!r}: single precision is too coarse for the steps of {len(coarse)} of "
        f"{transitions.state_size} states. State {worst} reaches {reach:.6g} and is rounded by {rounding[worst]:.1g}, "
        f"while its steps vary by {spread[worst]:.1g}. Subtract a constant from such states before you train and plan.",
        stacklevel=4,
    )
