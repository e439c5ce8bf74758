"""Physical constants of plants: read from plain values, and checked."""

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from typing import Any, TypeVar

from trajopt_sgp.errors import OptionError

Parameters = TypeVar("Parameters")


def read_parameters(kind: type[Parameters], given: Parameters | Mapping[str, float] | None, plant: str) -> Parameters:
    """Accept a mapping too: only plain values survive in an environment specification stored with a dataset.

    Raises:
        OptionError: a parameter that the plant does not have.
    """
    if isinstance(given, kind):
        return given
    values = dict(given) if isinstance(given, Mapping) else {}
    valid = sorted(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if unknown := sorted(set(values) - set(valid)):
        raise OptionError(f"Unknown {plant} parameter {unknown[0]!r}; choose from {valid}.")
    return kind(**values)


def check_positive(parameters: Any, plant: str) -> None:
    """Check that every field of a plant's parameters is a positive, finite number.

    Raises:
        OptionError: one is not; names it.
    """
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if not (isfinite(value) and value > 0.0):
            raise OptionError(f"{plant.capitalize()} parameter {field.name} = {value}: it must be positive and finite.")
