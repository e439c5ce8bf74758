"""Checks of settings. Every message names the owner, the setting, its value and what is valid."""

import math
from collections.abc import Iterable

from trajopt_sgp.errors import OptionError


def check_positive(owner: str, **values: float) -> None:
    """Check numbers.

    Raises:
        OptionError: a value is not a positive finite number.
    """
    for name, value in values.items():
        _require(owner, name, value, math.isfinite(value) and value > 0, "a positive number")


def check_not_negative(owner: str, **values: float) -> None:
    """Check weights and the like.

    Raises:
        OptionError: a value is negative or not finite.
    """
    for name, value in values.items():
        _require(owner, name, value, math.isfinite(value) and value >= 0, "finite and not negative")


def check_shares(owner: str, **values: float) -> None:
    """Check shares of something.

    Raises:
        OptionError: a value is not in (0, 1].
    """
    for name, value in values.items():
        _require(owner, name, value, 0.0 < value <= 1.0, "above 0 and at most 1")


def check_counts(owner: str, **values: int) -> None:
    """Check numbers of things of which there is at least one.

    Raises:
        OptionError: a value is not a whole number of at least 1.
    """
    for name, value in values.items():
        check_count(owner, name, value)


def check_count(owner: str, name: str, value: int, least: int = 1, most: int | None = None) -> None:
    """Check a number of things.

    Raises:
        OptionError: it is not a whole number between `least` and `most`, both included.
    """
    inside = type(value) is int and least <= value and (most is None or value <= most)
    valid = f", at least {least}" if most is None else f", {least} to {most}"
    _require(owner, name, value, inside, f"a whole number{valid}")


def check_choice(owner: str, name: str, value: object, valid: Iterable[object]) -> None:
    """Check a setting that is one of a few.

    Raises:
        OptionError: it is not; lists those that are.
    """
    choices = tuple(valid)
    if value not in choices:
        raise OptionError(f"{owner}: unknown {name} {value!r}; choose from {', '.join(map(repr, choices))}.")


def _require(owner: str, name: str, value: object, holds: bool, valid: str) -> None:
    if not holds:
        raise OptionError(f"{owner}: {name} = {value!r}; it must be {valid}.")
