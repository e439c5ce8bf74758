"""When the knots of a plan are."""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError

# By what share an interval may differ from the time step of a model: recordings jitter.
_OTHER_STEP = 0.05


@dataclass(frozen=True)
class FreeTime:
    """Let the solver choose the duration of a plan [s].

    Raises:
        OptionError: not 0 < lower <= guess <= upper.
    """

    guess: float
    """Where the solver begins."""
    lower: float = 1e-3
    """Shortest duration allowed."""
    upper: float = math.inf
    """Longest duration allowed."""

    def __post_init__(self) -> None:
        if not (0.0 < self.lower <= self.guess <= self.upper and math.isfinite(self.guess)):
            raise OptionError(f"{self}: it must be 0 < lower <= guess <= upper, in seconds.")


@dataclass(frozen=True, eq=False)
class TimeGrid:
    """Durations of N intervals."""

    shares: FloatArray
    """Share of the duration that each interval takes, `(N,)`."""
    duration: float
    """Of the whole plan [s]; where it is free, the guess."""
    limits: FreeTime | None
    """Set where the duration is free."""

    @property
    def free(self) -> bool:
        """Whether the solver chooses the duration."""
        return self.limits is not None

    @property
    def uniform(self) -> bool:
        """Whether all intervals take the same time."""
        return np.allclose(self.shares, self.shares[0], rtol=1e-9)

    @property
    def time_step(self) -> float:
        """Mean duration of an interval [s]."""
        return self.duration / len(self.shares)

    @property
    def mesh(self) -> FloatArray:
        """Shares of the duration that have passed at the knots, `(N+1,)`."""
        return np.concatenate([[0.0], np.cumsum(self.shares)])


def make_horizon(intervals: Any) -> int:
    """Return the number of intervals that a user gives, as a Python number.

    Raises:
        OptionError: it is not a whole number of at least 1.
    """
    horizon = _whole(intervals)
    if horizon < 1:
        raise OptionError(f"horizon = {intervals!r}: it must be a whole number of intervals, at least 1.")
    return horizon


def make_time_grid(
    horizon: int,
    time_step: float | None,
    duration: float | FreeTime | None,
    mesh: ArrayLike | None,
    own_step: float | None = None,
) -> TimeGrid:
    """Return the grid that a user describes by a time step or a duration, and a mesh.

    Where the model has a time step of its own, it is the default, and intervals of another length are refused.

    Raises:
        OptionError: both or neither make sense, the model has another time step, or the mesh does not increase from 0
            to 1.
        ShapeError: the mesh has not N + 1 knots.
    """
    if time_step is not None and duration is not None:
        raise OptionError("Give time_step or duration, not both.")
    limits = duration if isinstance(duration, FreeTime) else None
    if limits:
        total = float(limits.guess)
    elif duration is not None:
        total = _seconds("duration", duration)
    else:
        total = horizon * (own_step or 1.0 if time_step is None else _seconds("time_step", time_step))
    if not (math.isfinite(total) and total > 0.0):
        name, value = ("time_step", time_step) if duration is None else ("duration", duration)
        raise OptionError(f"{name} = {value!r}: it must be a positive number of seconds.")
    if own_step is not None and abs(total / horizon - own_step) > _OTHER_STEP * own_step:
        raise OptionError(
            f"Intervals of {total / horizon:.4g} s: the model advances the state by {own_step:.4g} s. Leave out "
            "time_step and duration, or take a model of another time step."
        )
    return TimeGrid(_shares(horizon, mesh), total, limits)


def _seconds(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} = {value!r}: it must be a positive number of seconds.") from error


def make_move_blocks(blocks: Sequence[int], horizon: int) -> tuple[int, ...]:
    """Return blocks of intervals that make up the horizon, as Python numbers.

    Raises:
        OptionError: a block is not a whole number of at least 1, or their sum is not the horizon.
    """
    given: object = blocks
    if not isinstance(given, Iterable):
        raise OptionError(
            f"move_blocks = {blocks!r}: give the number of intervals of every block in a list, as "
            f"{_example(_whole(blocks), horizon)}, which adds up to the horizon."
        )
    counts = tuple(_whole(block) for block in blocks)
    if min(counts, default=0) < 1 or sum(counts) != horizon:
        raise OptionError(
            f"move_blocks = {list(blocks)}: they must be whole numbers of intervals, at least 1, and add up to the "
            f"horizon {horizon}; they add up to {sum(counts)}."
        )
    return counts


def _example(size: int, horizon: int) -> list[int]:
    """Return blocks of one size, or near it, that make up a horizon."""
    whole, rest = divmod(horizon, size if 0 < size <= horizon else horizon)
    return [(horizon - rest) // whole] * whole + [rest] * (rest > 0)


def _whole(value: Any) -> int:
    """Return a whole number, of NumPy for example, as one of Python; 0 for what is none."""
    try:
        return 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return 0


def _shares(horizon: int, mesh: ArrayLike | None) -> FloatArray:
    if mesh is None:
        return np.full(horizon, 1.0 / horizon)
    knots = np.asarray(mesh, dtype=np.float64)
    if knots.shape != (horizon + 1,):
        raise ShapeError(f"mesh has shape {knots.shape}; a horizon of {horizon} needs ({horizon + 1},).")
    shares: FloatArray = np.diff(knots)
    if not (knots[0] == 0.0 and math.isclose(knots[-1], 1.0) and (shares > 0.0).all()):
        raise OptionError("mesh: the knots must increase from 0 to 1.")
    return shares
