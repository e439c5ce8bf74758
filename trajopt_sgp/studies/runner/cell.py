"""Cells: the pieces of work that a study is made of, each computed once and kept."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trajopt_sgp.errors import OptionError


@dataclass(frozen=True)
class CellInput:
    """What a cell gets from one that it needs."""

    result: Mapping[str, Any]
    """What that cell returned."""
    folder: Path
    """Where that cell left its files."""


@dataclass(frozen=True)
class CellContext:
    """What a cell gets beside its settings."""

    folder: Path
    """Its own folder for files that are too large for a result, such as models; exists, and is not committed."""
    inputs: Mapping[str, CellInput] = field(default_factory=dict)
    """What the cells that it needs gave, by role."""


_PROJECT = ("trajopt_sgp", "benchmarks")

CellFunction = Callable[[Mapping[str, Any], CellContext], Mapping[str, Any]]
"""Settings and context to a result, plain JSON values; a function of a module, so that other processes can find it.

The result depends on the arguments alone: seeds are among the settings.
"""


@dataclass(frozen=True)
class StudyCell:
    """One piece of work.

    Raises:
        OptionError: the settings are no plain JSON values, or the function is not one of a module.
    """

    label: str
    """What people call it; one of a kind within its study."""
    function: CellFunction
    """What is computed."""
    settings: Mapping[str, Any]
    """Plain JSON values."""
    needs: Mapping[str, "StudyCell"] = field(default_factory=dict)
    """Cells whose results it takes, by role; they are computed before."""
    time_limit: float | None = None
    """Wall time after which it is ended and counts as failed [s]."""

    def __post_init__(self) -> None:
        if "<" in self.function.__qualname__ or "." in self.function.__qualname__:
            raise OptionError(f"Cell {self.label!r}: {self.function.__qualname__} is no function of a module.")
        try:
            json.dumps(self.settings, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise OptionError(f"Cell {self.label!r}: its settings must be plain JSON values; {error}.") from error

    def key(self, study: str, version: int) -> str:
        """Return the stable name of the cell's result: a digest of study, version, function, settings and needs."""
        content = {
            "study": study,
            "version": version,
            "function": self.function_name,
            "settings": self.settings,
            "needs": {role: cell.key(study, version) for role, cell in self.needs.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def function_name(self) -> str:
        """What keys and records call the function: its module and name; its name alone if it belongs to this project.

        Results of the project's studies are published under bare names, each of which is one function's in its study.
        """
        module, name = self.function.__module__, self.function.__name__
        return name if module.partition(".")[0] in _PROJECT else f"{module}.{name}"

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")
