"""Recordings from files: tables as text, and NumPy's archives."""

import csv
import itertools
import os
import zipfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.data.recordings import Recording
from trajopt_sgp.errors import DatasetError, OptionError

Columns = Mapping[str, NDArray[Any]]
"""By name, each `(S, k)`: numbers, or text as it stands in a table."""

_DELIMITERS = ",;\t"


def read_recordings(
    path: str | os.PathLike[str],
    states: Sequence[str],
    controls: Sequence[str],
    time: str | None = None,
    run: str | None = None,
) -> list[Recording]:
    """Read the recordings in a file: a table with a line of names (.csv, .tsv, .txt), or arrays by name (.npz).

    A table's columns are divided by commas, semicolons or tabs; an empty cell is a missing value, and columns that are
    not asked for may hold anything. An archive's arrays have one row for each sample.

    Args:
        path: of the file.
        states: names of the columns or arrays that make up the state, in order; patterns such as `q*` take all that
            match, in the order of the file.
        controls: those of the control, alike.
        time: name of the times [s].
        run: name of what tells runs apart, numbers or words: where it changes, another recording begins.

    Raises:
        DatasetError: the file is missing, damaged or of another kind, or a cell is no number; names it.
        OptionError: a name that is not in the file; lists those that are.
        ShapeError: the arrays do not fit together.
    """
    file = Path(path)
    columns = _read(file)
    arrays = {"states": _numbers(columns, states, file), "controls": _numbers(columns, controls, file)}
    if time is not None:
        arrays["times"] = _numbers(columns, [time], file).ravel()
    if run is None:
        return [Recording(**arrays, name=str(file))]
    labels = columns[_choose(columns, [run], file)[0]]
    return [
        Recording(
            **{field: values[rows] for field, values in arrays.items()},
            name=f"{file}, {run} {labels[rows.start, 0]}",
        )
        for rows in _runs(labels)
    ]


def _read(file: Path) -> Columns:
    read = {".csv": _read_table, ".tsv": _read_table, ".txt": _read_table, ".npz": _read_archive}.get(file.suffix)
    if read is None:
        raise DatasetError(f"{file} is of no known kind: recordings are .csv, .tsv, .txt or .npz files.")
    try:
        return read(file)
    except (OSError, ValueError, csv.Error, zipfile.BadZipFile) as error:
        cause = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise DatasetError(f"{file} cannot be read: {cause}.") from error


def _read_table(file: Path) -> Columns:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        head = next(lines, "")
        delimiter = max(_DELIMITERS, key=head.count)
        names = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"its first line must name the columns, each differently, not {names}")
    uneven = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if uneven is not None:
        raise ValueError(f"sample {uneven} has {len(rows[uneven])} cells, the first line names {len(names)} columns")
    table = np.array(rows, dtype=np.str_).reshape(len(rows), len(names))
    return {name: table[:, [i]] for i, name in enumerate(names)}


def _read_archive(file: Path) -> Columns:
    with file.open("rb") as stream, np.load(stream) as archive:
        arrays = {name: np.asarray(archive[name]) for name in archive.files}
    return {name: array.reshape(len(array), -1) for name, array in arrays.items() if array.ndim in (1, 2)}


def _choose(columns: Columns, names: Sequence[str], file: Path) -> list[str]:
    """Return the names of the columns that names or patterns stand for."""
    chosen: list[str] = []
    for name in names:
        found = [name] if name in columns else [column for column in columns if fnmatchcase(column, name)]
        if not found:
            raise OptionError(f"{file} has no {name!r}: choose from {', '.join(columns)}.")
        chosen += found
    if not chosen or len(set(chosen)) < len(chosen):
        raise OptionError(f"{list(names)} take {chosen or 'nothing'} of {file}: each at most once, and one at least.")
    return chosen


def _numbers(columns: Columns, names: Sequence[str], file: Path) -> NDArray[np.float64]:
    chosen = _choose(columns, names, file)
    rows = {name: len(columns[name]) for name in chosen}
    if len(set(rows.values())) > 1:
        raise OptionError(f"{file} has unequal numbers of samples: {rows}.")
    return np.hstack([_as_numbers(columns[name], name, file) for name in chosen])


def _as_numbers(cells: NDArray[Any], name: str, file: Path) -> NDArray[np.float64]:
    if cells.dtype.kind == "U":
        cells = np.where(np.char.strip(cells) == "", "nan", cells)
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError) as error:
        sample = next(i for i, row in enumerate(cells) if not all(map(_is_number, row)))
        raise DatasetError(f"{file}, sample {sample}: {name} is {cells[sample].tolist()}, no numbers.") from error


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _runs(labels: NDArray[Any]) -> list[slice]:
    changes = 1 + np.flatnonzero((labels[1:] != labels[:-1]).any(axis=1))
    return [slice(low, high) for low, high in itertools.pairwise([0, *changes.tolist(), len(labels)])]
