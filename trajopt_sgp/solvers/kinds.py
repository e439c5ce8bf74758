"""Which formulations and solvers this library has, read off their classes."""

import inspect
from collections.abc import Iterator
from typing import TypeVar

Kind = TypeVar("Kind")


def library_kinds(base: type[Kind]) -> list[type[Kind]]:
    """Return the concrete classes of this library that derive from a base, sorted by name."""
    ours = [kind for kind in _descendants(base) if kind.__module__.startswith("trajopt_sgp.")]
    return sorted((kind for kind in ours if not inspect.isabstract(kind)), key=lambda kind: kind.__name__)


def _descendants(base: type[Kind]) -> Iterator[type[Kind]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _descendants(kind)
