"""Archives of named arrays by NumPy, written whole or not at all, and read without trust."""

import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.errors import PlanFileError
from trajopt_sgp.files import write_atomically

PathLike = str | os.PathLike[str]
Archive = Mapping[str, AnyArray]
"""Arrays by name, of numbers or of text."""


def write_archive(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name; an existing file is replaced.

    Raises:
        PlanFileError: the file cannot be written.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    try:
        write_atomically(Path(path), content.getvalue())
    except OSError as error:
        raise PlanFileError(f"{path} cannot be written: {error.strerror}.") from error


def read_archive(path: PathLike, names: Sequence[str]) -> dict[str, FloatArray]:
    """Return those of some arrays that an archive holds, as float64.

    Raises:
        PlanFileError: the file cannot be read, or is no archive of numbers.
    """
    with open_archive(path) as archive:
        return numbers(archive, names)


@contextmanager
def open_archive(path: PathLike) -> Iterator[Archive]:
    """Give the arrays of an archive by name, each read when it is asked for.

    Raises:
        PlanFileError: the file cannot be read, or what is asked for is damaged or no array that may be trusted.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PlanFileError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        with np.lib.npyio.NpzFile(io.BytesIO(content)) as archive:
            yield archive
    except (EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise PlanFileError(f"{path} is no archive of NumPy, or damaged.") from error


def numbers(archive: Archive, names: Iterable[str]) -> dict[str, FloatArray]:
    """Return those of some arrays that an open archive holds, as float64."""
    return {name: np.asarray(archive[name], dtype=np.float64) for name in names if name in archive}
