"""Angles that jump by a full turn where they are wrapped, which no model of motion should learn."""

import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError

RADIANS = 2.0 * np.pi
"""A full turn."""

_TURNS = {"2π": RADIANS, "360": 360.0}
# By what share of a turn a jump may differ from one, and the steps of nearly all transitions be smaller.
_NEAR, _USUAL, _SMALL = 0.1, 0.95, 0.25


def nearest_turn(angles: ArrayLike | float, reference: ArrayLike | float, turn: float = RADIANS) -> FloatArray:
    """Return angles moved by full turns to within half a turn of a reference; the shapes broadcast."""
    values, near = (np.asarray(part, dtype=np.float64) for part in (angles, reference))
    return np.asarray(values - turn * np.round((values - near) / turn))


def unwrap_states(samples: Sequence[FloatArray], angles: Sequence[int], turn: float = RADIANS) -> list[FloatArray]:
    """Return states `(S, n)` of several recordings with some coordinates free of jumps by full turns.

    From each sample to the next an angle moves by less than half a turn. The first recording begins within half a turn
    of zero, and the others within half a turn of where it begins. Missing values (NaN) remain.
    """
    unwrapped = [states.copy() for states in samples]
    for i in angles:
        reference = 0.0
        for number, states in enumerate(unwrapped):
            known = np.flatnonzero(np.isfinite(states[:, i]))
            if not len(known):
                continue
            whole = np.unwrap(states[known, i], period=turn)
            start = float(nearest_turn(whole[0], reference, turn))
            states[known, i] = whole + (start - whole[0])
            reference = start if number == 0 else reference
    return unwrapped


def find_angles(angles: Sequence[str | int], names: Sequence[str], count: int) -> list[int]:
    """Return which of the states are meant by names, patterns such as `q*`, or numbers.

    Raises:
        OptionError: one that is none of the states; lists them.
    """
    found: list[int] = []
    for angle in [angles] if isinstance(angles, str | int) else angles:
        if isinstance(angle, str):
            own = [i for i, name in enumerate(names) if name == angle or fnmatchcase(name, angle)]
        else:
            own = [angle] if 0 <= angle < count else []
        if not own:
            known = ", ".join(names) or f"0 to {count - 1}, as the states have no names"
            raise OptionError(f"angles: {angle!r} is no state; choose from {known}.")
        found += own
    return sorted(set(found))


def warn_of_wrapped_angles(steps: FloatArray, dataset_id: str, names: Sequence[str] = ()) -> None:
    """Warn of states that jump by about a full turn now and then while their other steps are small.

    Args:
        steps: x' - x, `(K, n)`.
        dataset_id: for the message.
        names: of the states, for the message.
    """
    sizes = np.abs(steps)
    usual = np.quantile(sizes, _USUAL, axis=0)
    for turn, length in _TURNS.items():
        jumps = np.abs(sizes - length) < _NEAR * length
        for state in np.flatnonzero(jumps.any(axis=0) & (usual < _SMALL * length)).tolist():
            name = f"{names[state]!r}" if names else f"{state}"
            warnings.warn(
                f"Dataset {dataset_id!r}: state {name} jumps by about {turn} in {int(jumps[:, state].sum())} of "
                f"{len(steps)} steps, as a wrapped angle does. A model learns that as motion, and distances take the "
                f"two ends of its range for far apart: unwrap it at import (angles=[{name}], --angles), or let its "
                "cosine and sine be states.",
                stacklevel=4,
            )
