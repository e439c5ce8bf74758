"""Files that are written whole or not at all."""

import contextlib
import glob
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_ABANDONED = 3600.0
"""Nobody writes to a file for so long [s]."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside, flush it to disk and rename it; an existing file is replaced.

    Args:
        path: the file; its folder exists.
        content: what it shall hold.

    Raises:
        OSError: the file cannot be written.
    """
    _remove_left_behind(path)
    # a name of its own: others may be writing the same file
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)


def _remove_left_behind(path: Path) -> None:
    """Remove what killed runs have left of a file."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > _ABANDONED:
                partial.unlink()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document, indented.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, (json.dumps(document, indent=2, default=plain_number) + "\n").encode())


def plain_number(value: object) -> object:
    """Return a number of NumPy as one of Python, for documents in JSON.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, np.generic):
        raise TypeError(f"{value!r} of type {type(value).__name__} has no place in JSON")
    return value.item()


def flush(path: Path) -> None:
    """Bring a file, or the entries of a folder, to disk.

    Raises:
        OSError: it cannot be opened or written.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
