"""Values of a trajectory between its knots."""

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem import Trajectory

FloatArray = NDArray[np.float64]


def sample_zero_order_hold(trajectory: Trajectory, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return states `(k, n)`, linear between knots, and controls `(k, m)`, constant over each interval.

    Raises:
        OptionError: a time lies outside the trajectory; names it.
    """
    end = trajectory.times[-1]
    outside = ~((times >= 0.0) & (times <= end * (1.0 + 1e-12)))
    if outside.any():
        raise OptionError(f"time {times[outside][0]} s lies outside the plan, which runs from 0 to {end} s.")
    place = np.clip(times / trajectory.time_step, 0.0, trajectory.horizon)
    interval = np.minimum(place.astype(np.int64), trajectory.horizon - 1)
    fraction = (place - interval)[:, None]
    states = (1.0 - fraction) * trajectory.states[interval] + fraction * trajectory.states[interval + 1]
    return states, trajectory.controls[interval]
