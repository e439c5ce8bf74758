"""Formulations and solvers by name, with settings, as texts: `orthogonal-collocation:degree=2,points=legendre`.

What exists is read off the classes of the library, so that a new one needs no entry here.
"""

import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar

from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.kinds import library_kinds

Kind = TypeVar("Kind", Formulation, Solver)

_PREFIX = "options."
_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "yes or no"}
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


def kinds(base: type[Kind]) -> dict[str, type[Kind]]:
    """Return the formulations or the solvers of this library by name, for example `hermite-simpson`, sorted."""
    return {kebab(kind.__name__): kind for kind in library_kinds(base)}


def kebab(name: str) -> str:
    """Return the name of a class as it is written on a command line: `HermiteSimpson` becomes `hermite-simpson`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def parse_choices(base: type[Kind], text: str) -> dict[str, Kind]:
    """Return formulations or solvers, by their texts, from a list separated by commas.

    A part with "=" but without ":" belongs to the settings of the part before.

    Raises:
        OptionError: nothing is named, a name or setting is unknown (lists the valid ones), or a value is invalid.
    """
    parts: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if parts and "=" in part and ":" not in part:
            parts[-1] += f",{part}"
        elif part:
            parts.append(part)
    if not parts:
        raise OptionError(f"No {base.__name__.lower()} is named; choose from {', '.join(kinds(base))}.")
    return {part: parse_choice(base, part) for part in parts}


def parse_choice(base: type[Kind], text: str) -> Kind:
    """Return a formulation or solver from its name and, after a colon, its settings `key=value`.

    Raises:
        OptionError: an unknown name or setting (lists the valid ones), or an invalid value.
    """
    name, _, rest = text.partition(":")
    return make_kind(find_kind(base, name), [entry for entry in rest.split(",") if entry])


def find_kind(base: type[Kind], name: str) -> type[Kind]:
    """Return the class of a name.

    Raises:
        OptionError: there is none; lists the valid names.
    """
    valid = kinds(base)
    if name not in valid:
        raise OptionError(f"Unknown {base.__name__.lower()} {name!r}; choose from {', '.join(valid)}.")
    return valid[name]


def make_kind(kind: type[Kind], entries: Iterable[str]) -> Kind:
    """Return an instance of a class with settings, each `key=value`.

    Raises:
        OptionError: an entry without "=", an unknown setting, or a value of the wrong kind.
    """
    return kind(**parse_settings(kind, entries))


def parse_settings(
    kind: type[Any], entries: Iterable[str], defaults: Mapping[str, Any] | None = None, reserved: Iterable[str] = ()
) -> dict[str, Any]:
    """Return settings of a class from texts `key=value`, which replace defaults.

    Raises:
        OptionError: an entry without "=", an unknown or reserved setting, or a value of the wrong kind.
    """
    settings = dict(defaults or {})
    for entry in entries:
        key, separator, text = entry.partition("=")
        if not separator:
            raise OptionError(f"{kind.__name__}: {entry!r} is no setting; write key=value.")
        _add_setting(kind, settings, key.strip(), text.strip(), reserved)
    return settings


def _add_setting(kind: type[Any], settings: dict[str, Any], key: str, text: str, reserved: Iterable[str]) -> None:
    """Convert a text to the type of a field and add it to `settings`; `options.NAME` goes into the field `options`.

    Raises:
        OptionError: an unknown or reserved key (lists the valid ones), or a value of the wrong kind.
    """
    if key.startswith(_PREFIX) and _has_options(kind):
        inner = {key.removeprefix(_PREFIX): _guess_type(text)}
        settings["options"] = {**settings.get("options", {}), **inner}
        return
    valid = {name: accepted for name, accepted in setting_types(kind).items() if name not in reserved}
    if key not in valid:
        names = ", ".join(valid_keys(kind, reserved))
        choices = f"choose from {names}" if names else "it has no settings"
        raise OptionError(f"{kind.__name__} has no setting {key!r}; {choices}.")
    settings[key] = _convert(f"{kind.__name__}: {key}", valid[key], text)


def valid_keys(kind: type[Any], reserved: Iterable[str] = ()) -> list[str]:
    """Return the names of the settings of a class."""
    names = [name for name in setting_types(kind) if name not in reserved]
    return [*names, *([f"{_PREFIX}NAME (any option of {kind.__name__} itself)"] if _has_options(kind) else [])]


def setting_types(kind: type[Any]) -> dict[str, type | tuple[Any, ...]]:
    """Return the settings of a class that a text can hold, by name: their type, or the values that are valid."""
    hints = typing.get_type_hints(kind)
    found = {field.name: _accepted(hints[field.name]) for field in fields(kind)}
    return {name: accepted for name, accepted in found.items() if accepted is not None}


def _accepted(hint: Any) -> type | tuple[Any, ...] | None:
    if hint in (int, float, bool):
        return typing.cast(type, hint)
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        # what may be None is not given then
        parts = {part for part in typing.get_args(hint) if part is not type(None)}
        return float if parts == {int, float} else _accepted(parts.pop()) if len(parts) == 1 else None
    return None


def _convert(what: str, accepted: type | tuple[Any, ...], text: str) -> Any:
    if isinstance(accepted, tuple):
        by_text = {str(value): value for value in accepted}
        if text not in by_text:
            raise OptionError(f"{what} = {text!r}; choose from {', '.join(by_text)}.")
        return by_text[text]
    try:
        return _TRUTH[text.lower()] if accepted is bool else accepted(text)
    except (KeyError, ValueError) as error:
        raise OptionError(f"{what} = {text!r}; it must be {_WORDS[accepted]}.") from error


def _has_options(kind: type[Any]) -> bool:
    return any(field.name == "options" for field in fields(kind))


def _guess_type(text: str) -> int | float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(text) if text.lstrip("+-").isdecimal() else number
