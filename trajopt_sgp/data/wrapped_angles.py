"""Angles that jump by a full turn where they are wrapped, which no model of motion should learn."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_TURNS = {"2π": 2.0 * np.pi, "360": 360.0}
# By what share of a turn a jump may differ from one, and the steps of nearly all transitions be smaller.
_NEAR, _USUAL, _SMALL = 0.1, 0.95, 0.25


def warn_of_wrapped_angles(steps: NDArray[np.float64], dataset_id: str, names: Sequence[str] = ()) -> None:
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
                "two ends of its range for far apart: unwrap it in each recording (numpy.unwrap), or let its cosine "
                "and sine be states.",
                stacklevel=4,
            )
