"""Bounds, ends, names and units of a problem as arrays, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError


@dataclass(frozen=True, eq=False)
class Box:
    """Lower and upper bounds of a vector, infinite where there are none.

    Raises:
        OptionError: the bounds of a coordinate cross; names it.
    """

    name: str
    """What is bounded, for messages."""
    lower: FloatArray
    """`(d,)`."""
    upper: FloatArray
    """`(d,)`."""
    labels: Sequence[str] = ()
    """Names of the coordinates, for messages."""

    def __post_init__(self) -> None:
        crossed = np.flatnonzero(self.lower > self.upper)
        if len(crossed):
            i = int(crossed[0])
            what = self.labels[i] if self.labels else f"coordinate {i}"
            raise OptionError(
                f"{self.name}: the lower bound {self.lower[i]} of {what} is above the upper, {self.upper[i]}. Bounds "
                "are a pair (lower, upper), each a number or a vector."
            )

    @property
    def bounded(self) -> bool:
        """Whether any bound is finite."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def middle(self) -> FloatArray:
        """Return the centre `(d,)`; where a side is infinite, the number nearest zero within the bounds."""
        closed = np.isfinite(self.lower) & np.isfinite(self.upper)
        with np.errstate(invalid="ignore"):
            return np.where(closed, 0.5 * (self.lower + self.upper), np.clip(0.0, self.lower, self.upper))

    def clip(self, values: FloatArray) -> FloatArray:
        """Return values `(..., d)` moved to the nearest point within the bounds."""
        return np.clip(values, self.lower, self.upper)


@dataclass(frozen=True, eq=False)
class Boundary:
    """What is known of the state at one end of a plan."""

    values: FloatArray
    """`(n,)`; where the state is free, a number within its bounds."""
    held: BoolArray
    """Which states are given, `(n,)`."""

    def bounds(self, box: Box, values: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds `(..., n)`: the given states, the box elsewhere.

        `values` `(..., n)` are other given states than those of the problem.
        """
        given = self.values if values is None else values
        return np.where(self.held, given, box.lower), np.where(self.held, given, box.upper)

    def check_within(self, name: str, box: Box) -> None:
        """Check that the given states lie within a box, but for rounding.

        Raises:
            OptionError: names the state, its value and its bounds.
        """
        slack = 1e-9 * np.maximum(1.0, np.abs(self.values))
        outside = self.held & ((self.values < box.lower - slack) | (self.values > box.upper + slack))
        if outside.any():
            i = int(outside.argmax())
            raise OptionError(
                f"{name}: {box.labels[i]} = {self.values[i]} is outside its bounds, {box.lower[i]} to {box.upper[i]}."
            )


def make_boundary(
    name: str, values: ArrayLike | Mapping[str, float] | None, labels: Sequence[str], box: Box
) -> Boundary:
    """Return what a user says of one end: a vector, a mapping from names of states, or None.

    Raises:
        OptionError: a mapping names a state that does not exist; lists those that do.
        ShapeError, NotFiniteError, OptionError: the vector does not fit, is not finite, or holds no numbers.
    """
    if values is None or isinstance(values, Mapping):
        vector, held = box.middle(), np.zeros(len(labels), dtype=np.bool_)
        for label, value in (values or {}).items():
            if label not in labels:
                raise OptionError(f"{name}: there is no state {label!r}; choose from {', '.join(labels)}.")
            number = _floats(f"{name}: {label}", value)
            if number.ndim:
                raise ShapeError(f"{name}: {label} = {value!r}: it must be one number.")
            vector[labels.index(label)], held[labels.index(label)] = number, True
    else:
        vector, held = _floats(name, values), np.ones(len(labels), dtype=np.bool_)
    if vector.shape != (len(labels),):
        raise ShapeError(f"{name} has shape {vector.shape}; this problem needs ({len(labels)},).")
    if not np.isfinite(vector).all():
        raise NotFiniteError(f"{name} must be finite, not {vector}.")
    vector.setflags(write=False)
    return Boundary(vector, held)


def split_bounds(name: str, bounds: Any) -> tuple[Any, Any]:
    """Return lower and upper bounds as a user gives them, infinite where there is None.

    Raises:
        OptionError: they are no pair.
    """
    try:
        lower, upper = (None, None) if bounds is None else bounds
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{name} = {bounds!r}: give a pair (lower, upper), each a number, a vector, or None for no bound."
        ) from error
    return -np.inf if lower is None else lower, np.inf if upper is None else upper


def make_box(name: str, bounds: Any, labels: Sequence[str]) -> Box:
    """Return bounds, a pair of numbers, vectors or None, as arrays, one number for each label.

    Raises:
        ShapeError, NotFiniteError, OptionError: they are no pair; a bound does not fit, is NaN, or crosses the other.
    """
    sides, size, vectors = [], len(labels), True
    for side, values in zip(("lower", "upper"), split_bounds(name, bounds), strict=True):
        array = _floats(f"{name}: the {side} bound", values)
        if array.shape not in ((), (size,)):
            raise ShapeError(f"{name}: the {side} bound has shape {array.shape}; give a number or ({size},).")
        if np.isnan(array).any():
            raise NotFiniteError(f"{name}: the {side} bound holds NaN; use infinity for no bound.")
        sides.append(np.broadcast_to(array, (size,)).copy())
        vectors = vectors and array.ndim > 0
    if vectors and size > 1 and (sides[0] == sides[1]).all():
        raise OptionError(
            f"{name} = {bounds!r} leaves every coordinate one value only: give a pair (lower, upper), each a number or "
            f"({size},), not a pair for each coordinate."
        )
    return Box(name, sides[0], sides[1], tuple(labels))


def make_scale(name: str, values: Any, size: int) -> FloatArray:
    """Return finite numbers `(size,)` from a number or a vector.

    Raises:
        ShapeError, NotFiniteError, OptionError: they do not fit, are not finite, or no numbers.
    """
    array = _floats(name, values)
    if array.shape not in ((), (size,)):
        raise ShapeError(f"{name} has shape {array.shape}; give a number or ({size},).")
    if not np.isfinite(array).all():
        raise NotFiniteError(f"{name} must be finite, not {array}.")
    return np.broadcast_to(array, (size,)).copy()


def make_unit(name: str, values: Any, size: int) -> FloatArray:
    """Return positive numbers `(size,)` from a number or a vector.

    Raises:
        ShapeError, NotFiniteError, OptionError: they do not fit, or are not finite or not positive.
    """
    unit = make_scale(name, values, size)
    if not (unit > 0.0).all():
        raise OptionError(f"{name} must be positive, not {unit}.")
    return unit


def make_labels(field_name: str, letter: str, names: Sequence[str] | None, size: int) -> tuple[str, ...]:
    """Return names given by the user, or `x[0]`, `x[1]` and so on.

    Raises:
        ShapeError: the number of names does not fit.
        OptionError: a name stands there twice.
    """
    labels = tuple(names) if names is not None else tuple(f"{letter}[{i}]" for i in range(size))
    if len(labels) != size:
        raise ShapeError(f"{field_name} lists {len(labels)} names; this problem needs {size}.")
    repeated = next((label for label in labels if labels.count(label) > 1), None)
    if repeated is not None:
        raise OptionError(f"{field_name} lists {repeated!r} more than once; each needs a name of its own.")
    return labels


def _floats(name: str, values: Any) -> FloatArray:
    """Return a copy of numbers as an array.

    Raises:
        OptionError: they are no numbers, or vectors of unequal lengths.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} = {values!r}: give a number or a vector of numbers.") from error
