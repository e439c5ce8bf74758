"""How far data vary, where rounding does not count: a clock steps by the same everywhere."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data.normalizer import ROUNDING
from trajopt_sgp.data.transitions import Transitions


def spread(values: FloatArray, magnitude: FloatArray | None = None) -> FloatArray:
    """Return the standard deviation of each column of `values` `(k, ...)`, 0 where it is rounding error.

    Args:
        values: at least one row.
        magnitude: of the numbers that the values are differences of; default: the largest size in each column.
    """
    found: FloatArray = values.std(axis=0)
    size = np.abs(values).max(axis=0) if magnitude is None else magnitude
    return np.where(found > ROUNDING * size, found, 0.0)


def step_spread(transitions: Transitions) -> FloatArray:
    """Return the standard deviation of x' - x for each state `(n,)`, 0 where it steps by the same everywhere."""
    size = np.abs(transitions.states).max(axis=0)
    return spread(transitions.next_states - transitions.states, size)


def as_scale(spreads: FloatArray) -> FloatArray:
    """Return what to divide by: spreads, and 1 where there is none."""
    return np.where(spreads > 0.0, spreads, 1.0)
