"""Files that are written whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside, flush it to disk and rename it; an existing file is replaced.

    Args:
        path: the file; its folder exists.
        content: what it shall hold.

    Raises:
        OSError: the file cannot be written.
    """
    # a fixed name: what a killed run leaves behind is overwritten by the next one
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document, indented.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())


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
