"""The folder of a run: made early, so that an unwritable one is refused before the work; every file whole or absent."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from trajopt_sgp.cli.report import dump_json
from trajopt_sgp.files import write_atomically

CONFIG_FILE = "config.json"
_PACKAGES = ("trajopt_sgp", "torch", "numpy", "casadi", "gymnasium", "minari", "typer", "rich")


@contextmanager
def open_run_folder(path: Path) -> Iterator["RunFolder"]:
    """Make a folder if it is missing and yield it; a new one that stays empty, since the work failed, goes again.

    Raises:
        OSError: the folder cannot be made or written.
    """
    made = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
        yield RunFolder(path)
    finally:
        if made and not any(path.iterdir()):
            path.rmdir()


@dataclass(frozen=True)
class RunFolder:
    """A folder that exists and can be written."""

    path: Path
    """Where it is."""

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
