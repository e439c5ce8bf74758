"""Whether single precision, in which networks are trained and planned with, resolves data."""

import warnings

import numpy as np

from trajopt_sgp.data import Transitions
from trajopt_sgp.data.spread import spread, step_spread

_COARSE = 0.01


def warn_of_coarse_columns(transitions: Transitions, steps: bool = False, stacklevel: int = 4) -> None:
    """Warn of states and controls so far from zero that rounding them is more than a hundredth of how they vary.

    A map's coordinates in metres and clocks in seconds since 1970 are such states.

    Args:
        transitions: the data.
        steps: whether a model is to learn x' - x, whose variation then counts for states.
        stacklevel: as of `warnings.warn`.
    """
    columns = np.hstack([transitions.next_states if steps else transitions.states, transitions.controls])
    varying = spread(columns)
    if steps:
        varying[: transitions.state_size] = step_spread(transitions)
    reach = np.abs(columns).max(axis=0)
    rounding = 0.5 * np.finfo(np.float32).eps * reach
    coarse = np.flatnonzero((varying > 0.0) & (rounding > _COARSE * varying))
    if not len(coarse):
        return
    worst = int(coarse[np.argmax(rounding[coarse] / varying[coarse])])
    subject = "its steps vary" if steps and worst < transitions.state_size else "it varies"
    warnings.warn(
        f"Dataset {transitions.dataset.id!r}: single precision is too coarse for {len(coarse)} of {columns.shape[1]} "
        f"states and controls. {_column(worst, transitions.state_size)} reaches {reach[worst]:.6g} and is rounded by "
        f"{rounding[worst]:.1g}, while {subject} by {varying[worst]:.1g}. Subtract a constant from such columns before "
        "you train and plan.",
        stacklevel=stacklevel,
    )


def _column(place: int, state_size: int) -> str:
    return f"State {place}" if place < state_size else f"Control {place - state_size}"
