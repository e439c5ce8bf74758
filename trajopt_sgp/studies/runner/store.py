"""Results of cells on disk: one JSON file for each, whole or absent."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from trajopt_sgp.errors import FileError
from trajopt_sgp.files import write_json
from trajopt_sgp.studies.runner.cell import StudyCell
from trajopt_sgp.studies.runner.claim import Claim, claim

TIMINGS = ("seconds", "cpu_seconds", "attempts")
"""Entries of a record that differ between two runs of the same cell."""

_PACKAGES = ("trajopt_sgp", "torch", "casadi", "numpy", "scipy")


@dataclass(frozen=True)
class CellRecord:
    """What is kept of a cell."""

    study: str
    """Name of its study."""
    version: int
    """Version of the study."""
    key: str
    """Digest of what was computed."""
    label: str
    """What people call the cell."""
    function: str
    """What was called."""
    settings: Mapping[str, Any]
    """With these settings."""
    needs: Mapping[str, str]
    """Keys of the cells it took results from, by role."""
    status: Literal["finished", "failed"]
    """How it ended."""
    result: Mapping[str, Any]
    """What it returned; empty where it failed."""
    error: str = ""
    """Last line of the traceback."""
    trace: str = ""
    """The whole of it."""
    seconds: float = 0.0
    """Wall time [s]."""
    cpu_seconds: float = 0.0
    """Processor time [s]."""
    attempts: int = 1
    """How many workers it took; 0 where it was not computed, since a cell that it needs had failed."""
    left_files: bool = True
    """Whether there is more in its folder than in the result; cells that need it can only read that while it lasts."""
    versions: Mapping[str, str] | None = None
    """Of Python and of the packages that results depend on."""

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self.status == "finished"


@dataclass(frozen=True)
class CellStore:
    """The folder of a run: `cells/` with records, `files/` with what cells wrote beside, `claims/` of running cells."""

    folder: Path
    """Where it is."""

    def record_path(self, cell: StudyCell, key: str) -> Path:
        """Return the file of a cell's record."""
        return self.folder / "cells" / f"{cell.slug[:80]}-{key}.json"

    def files(self, key: str) -> Path:
        """Return the folder of a cell's own files."""
        return self.folder.resolve() / "files" / key

    def claim(self, key: str) -> Claim | None:
        """Return the claim on a cell, or None where another run is computing it."""
        return claim(self.folder / "claims" / key)

    def has_files(self, key: str) -> bool:
        """Return whether a cell's folder holds anything."""
        folder = self.files(key)
        return folder.exists() and any(folder.iterdir())

    def load(self, cell: StudyCell, key: str) -> CellRecord | None:
        """Return the record of a cell if there is one.

        Raises:
            FileError: the file is damaged.
        """
        path = self.record_path(cell, key)
        if not path.exists():
            return None
        try:
            return CellRecord(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise FileError(f"{path} is damaged; remove it, and the cell is computed anew: {error}.") from error

    def save(self, cell: StudyCell, record: CellRecord) -> None:
        """Write the record of a cell."""
        path = self.record_path(cell, record.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(record))


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return {"python": python_version(), **{name: version(name) for name in _PACKAGES}}
