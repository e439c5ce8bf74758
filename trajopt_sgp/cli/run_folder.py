"""The folder of a run: made early, so that an unwritable one is refused before the work; every file whole or absent."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from trajopt_sgp.cli.report import dump_json
from trajopt_sgp.models.tensor_file import write_atomically

CONFIG_FILE = "config.json"
_PACKAGES = ("trajopt_sgp", "torch", "numpy", "casadi", "gymnasium", "minari", "typer", "rich")


@dataclass(frozen=True)
class RunFolder:
    """A folder that exists and can be written."""

    path: Path
    """Made if missing."""

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):
            pass

    def write_json(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a document whole or not at all and return its path."""
        path = self.path / name
        write_atomically(path, (dump_json(document) + "\n").encode())
        return path

    def write_config(self, command: str, arguments: Mapping[str, Any]) -> Path:
        """Write what was asked for, and the versions that do it."""
        return self.write_json(CONFIG_FILE, {"command": command, "arguments": arguments, "versions": versions()})


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return {"python": python_version(), **{package: version(package) for package in _PACKAGES}}
