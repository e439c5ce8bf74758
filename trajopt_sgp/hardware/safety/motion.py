"""Steps of a commanded position that never leave a box, never exceed a speed, and can always still brake in time."""

from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError


@dataclass(frozen=True, eq=False)
class MotionLimits:
    """What a commanded position of n coordinates may do.

    Attributes:
        low: Lower ends of the box, `(n,)`.
        high: Upper ends of the box, `(n,)`.
        rate: Largest speed of every coordinate, `(n,)`.
        acceleration: Largest change of every coordinate's speed [1/s of that speed], `(n,)`.
        speed: Largest Euclidean norm of the velocity.
        braking: Largest Euclidean norm of the change of velocity while braking, which is then along the way; that of
            the coordinates' own accelerations if infinite.

    Raises:
        OptionError: a limit is not finite and positive (`speed` and `braking` may be infinite), or the box is empty.
    """

    low: FloatArray
    high: FloatArray
    rate: FloatArray
    acceleration: FloatArray
    speed: float = np.inf
    braking: float = np.inf

    def __post_init__(self) -> None:
        everything = np.concatenate((self.low, self.high, self.rate, self.acceleration))
        if not np.isfinite(everything).all() or (self.low >= self.high).any():
            raise OptionError(f"Motion needs a finite box with low < high, not {self.low} to {self.high}.")
        if not (min(self.rate.min(), self.acceleration.min(), self.speed, self.braking) > 0):
            raise OptionError("The limits of rate, acceleration and speed must be positive.")

    def contains(self, position: FloatArray) -> bool:
        """Whether a position is finite and in the box."""
        return bool(((position >= self.low) & (position <= self.high)).all())


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a commanded position.

    Attributes:
        position: Where it goes, `(n,)`.
        velocity: With what velocity, `(n,)`.
        limited: The limits that changed it: among `box`, `speed` and `acceleration`.
    """

    position: FloatArray
    velocity: FloatArray
    limited: tuple[str, ...] = ()


def step_towards(limits: MotionLimits, last: Step, target: FloatArray, period: float) -> Step:
    """Return the step that comes closest to a finite target `(n,)` after `period` [s], so that it can stop there.

    A coordinate at a distance d from its target may approach it with at most v = a (√(Δ² + 2 d / a) - Δ), where a is
    its acceleration and Δ the period: having moved for Δ, it can then still brake in front of the target. The target is
    in the box, so that braking is possible in every step that follows; there the search for a speed within the limit
    begins. A target that moves at speed v is followed at a distance of about v² / 2a.
    """
    inside = np.clip(target, limits.low, limits.high)
    change = limits.acceleration * period
    wanted = _approach(inside - last.position, limits.acceleration, period)
    fast = np.clip(wanted, -limits.rate, limits.rate)
    gentle = np.clip(fast, last.velocity - change, last.velocity + change)
    velocity = _within_speed(_brake(last.velocity, change), gentle, limits.speed)
    limited = {
        "box": (inside != target).any(),
        "speed": (fast != wanted).any() or (velocity != gentle).any(),
        "acceleration": (gentle != fast).any(),
    }
    return _moved(limits, last, velocity, period, tuple(name for name, present in limited.items() if present))


def follow(
    limits: MotionLimits, last: Step, before: FloatArray, target: FloatArray, period: float, catch_up: float
) -> Step:
    """Return the step after a finite target `(n,)` that moves, and was at `before` a period [s] ago.

    From there it goes as far as the target has gone, so that what is not behind stays with it; what is behind comes
    nearer with a part `catch_up` of the acceleration. All coordinates are limited by the same part, so that a change of
    velocity keeps its direction, except where the box ends.
    """
    inside = np.clip(target, limits.low, limits.high)
    wanted = (inside - before) / period + _approach(before - last.position, catch_up * limits.acceleration, period)
    fast = _common_part(wanted, limits.rate)
    change = limits.acceleration * period
    gentle = last.velocity + _common_part(fast - last.velocity, change)
    slow = _before_ends(limits, last.position, gentle, period)
    velocity = np.clip(slow, last.velocity - change, last.velocity + change)
    limited = {
        "box": (inside != target).any(),
        "speed": (fast != wanted).any(),
        "acceleration": bool((np.abs(gentle - fast) > 1e-9).any()),
    }
    return _moved(limits, last, velocity, period, tuple(name for name, present in limited.items() if present))


def _common_part(vector: FloatArray, largest: FloatArray) -> FloatArray:
    """The longest vector along a given one whose coordinates are at most as large."""
    part: FloatArray = vector / max(1.0, float((np.abs(vector) / largest).max()))
    return part


def brake(limits: MotionLimits, last: Step, period: float) -> Step:
    """Return the step that brakes as hard as the limits allow; from rest it stays where it is.

    It brakes along its way, where the coordinates together may do more than each alone, unless the box ends before.
    """
    speed = float(np.linalg.norm(last.velocity))
    if np.isfinite(limits.braking) and speed > 0.0:
        velocity = max(0.0, 1.0 - limits.braking * period / speed) * last.velocity
        if (velocity == _before_ends(limits, last.position, velocity, period)).all():
            return _moved(limits, last, velocity, period, ())
    return slow_down(limits, last, 0.0, period)


def slow_down(limits: MotionLimits, last: Step, part: float, period: float) -> Step:
    """Return the step with a part of the last velocity, in 0 to 1; with less where the box ends, within the limits."""
    wanted, change = _before_ends(limits, last.position, part * last.velocity, period), limits.acceleration * period
    velocity = np.clip(wanted, last.velocity - change, last.velocity + change)
    return _moved(limits, last, velocity, period, ())


def _before_ends(limits: MotionLimits, position: FloatArray, velocity: FloatArray, period: float) -> FloatArray:
    """The velocity nearest to one with which every coordinate can still brake in the box."""
    ends = (_approach(end - position, limits.acceleration, period) for end in (limits.low, limits.high))
    slow: FloatArray = np.clip(velocity, *ends)
    return slow


def _moved(limits: MotionLimits, last: Step, velocity: FloatArray, period: float, limited: tuple[str, ...]) -> Step:
    return Step(np.clip(last.position + period * velocity, limits.low, limits.high), velocity, limited)


def _brake(velocity: FloatArray, change: FloatArray) -> FloatArray:
    return np.sign(velocity) * np.maximum(np.abs(velocity) - change, 0.0)


def _approach(way: FloatArray, acceleration: FloatArray, period: float) -> FloatArray:
    velocity: FloatArray = np.sign(way) * acceleration * (np.sqrt(period**2 + 2 * np.abs(way) / acceleration) - period)
    return velocity


def _within_speed(slow: FloatArray, fast: FloatArray, speed: float) -> FloatArray:
    """The point nearest to `fast` on the way from `slow`, whose norm is allowed, that is allowed too."""
    way = fast - slow
    if np.linalg.norm(fast) <= speed or not way.any():
        return fast
    a, b, c = float(way @ way), float(slow @ way), float(slow @ slow) - speed**2
    fraction = (-b + np.sqrt(max(b * b - a * c, 0.0))) / a
    allowed: FloatArray = slow + min(max(fraction, 0.0), 1.0) * way
    return allowed
