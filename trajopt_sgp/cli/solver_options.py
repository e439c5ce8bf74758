"""Settings of solvers from `key=value` texts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from trajopt_sgp.errors import OptionError
from trajopt_sgp.solvers import GradientDescent, Ipopt
from trajopt_sgp.solvers.base import Solver

SOLVERS: Mapping[str, type[Solver]] = {"gradient-descent": GradientDescent, "ipopt": Ipopt}
"""Solvers by their name on the command line."""

_PREFIX = "options."
# set by --starts
_RESERVED = {"count"}


def make_solver(name: str, defaults: Mapping[str, Any], entries: Sequence[str]) -> Solver:
    """Return a solver with some defaults and the settings in `entries`, each `key=value`.

    A key is a numerical field of the solver, or `options.NAME` for an option of Ipopt itself.

    Raises:
        OptionError: an entry without "=", an unknown key (lists the valid ones), or a value of the wrong kind.
    """
    kind = SOLVERS[name]
    settings: dict[str, Any] = {**defaults}
    for entry in entries:
        key, separator, text = entry.partition("=")
        if not separator:
            raise OptionError(f"--option {entry}: write it as key=value, for example {_valid(kind)[0]}=1.")
        if key.startswith(_PREFIX) and _has_options(kind):
            inner = {key.removeprefix(_PREFIX): _guess_type(text)}
            settings["options"] = {**settings.get("options", {}), **inner}
        else:
            settings[key] = _convert(kind, key, text)
    make: Callable[..., Solver] = kind
    return make(**settings)


def check_weights(**weights: float | None) -> None:
    """Check weights of cost terms by the name of their option.

    Raises:
        OptionError: a weight is negative or not finite; names it.
    """
    for name, weight in weights.items():
        if weight is not None and not 0.0 <= weight < math.inf:
            raise OptionError(f"--{name} {weight:g}: a weight must be finite and not negative.")


def _convert(kind: type[Solver], key: str, text: str) -> int | float:
    field = _numbers(kind).get(key)
    if field is None:
        raise OptionError(f"{kind.__name__} has no setting {key!r}; choose from {', '.join(_valid(kind))}.")
    wanted: type[int] | type[float] = int if type(field.default) is int else float
    try:
        return wanted(text)
    except ValueError as error:
        rule = "a whole number" if wanted is int else "a number"
        raise OptionError(f"{kind.__name__}: {key} = {text!r}; it must be {rule}.") from error


def _numbers(kind: type[Solver]) -> dict[str, Field[Any]]:
    found = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    return {
        name: field for name, field in found.items() if type(field.default) in (int, float) and name not in _RESERVED
    }


def _valid(kind: type[Solver]) -> list[str]:
    return [*_numbers(kind), *([f"{_PREFIX}NAME (any option of {kind.__name__} itself)"] if _has_options(kind) else [])]


def _has_options(kind: type[Solver]) -> bool:
    return any(field.name == "options" and field.default is MISSING for field in fields(kind))  # type: ignore[arg-type]


def _guess_type(text: str) -> int | float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(text) if text.lstrip("+-").isdecimal() else number
