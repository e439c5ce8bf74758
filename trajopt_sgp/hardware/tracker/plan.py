"""Plans as functions of time."""

from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.messages import PLAN, codec


def make_plan(pusher: FloatArray, start: int, step: float, made: int, state_time: int) -> bytes:
    """Return the packet of a plan with knots `(n, 3)` [m], the first at `start` [µs], `step` [s] apart."""
    message = codec(PLAN)()
    message.utime, message.state_utime, message.start, message.step = made, state_time, start, step
    message.pusher, message.num_knots = pusher.tolist(), len(pusher)
    return bytes(message.encode())


def usable(plan: Any) -> bool:
    """Whether a decoded plan has knots, in steps forward in time."""
    return bool(plan.num_knots >= 1 and plan.step > 0)


def pusher_at(plan: Any, time: int) -> FloatArray:
    """Return where a plan wants the pusher at a time [µs] `(3,)` [m]: on lines between knots, else at rest."""
    knots = np.asarray(plan.pusher, dtype=np.float64)
    place = min(max((time - plan.start) * 1e-6 / plan.step, 0.0), len(knots) - 1.0)
    before = min(int(place), max(len(knots) - 2, 0))
    after = min(before + 1, len(knots) - 1)
    wanted: FloatArray = knots[before] + (place - before) * (knots[after] - knots[before])
    return wanted
