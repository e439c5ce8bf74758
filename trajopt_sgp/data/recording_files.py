"""Recordings from files: tables as text, and NumPy's archives."""

import csv
import itertools
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.data.recordings import Recording
from trajopt_sgp.data.text_tables import is_number, read_table, remedy
from trajopt_sgp.errors import DatasetError, OptionError

Columns = Mapping[str, AnyArray]
"""By name, each `(S, k)`: numbers, or text as it stands in a table."""

_TIMES = ("t", "time", "times", "timestamp", "stamp", "seconds")
# of the runs that a warning is about
_SHOWN = 5


def read_recordings(
    path: str | os.PathLike[str],
    states: Sequence[str],
    controls: Sequence[str],
    time: str | None = None,
    run: str | None = None,
) -> list[Recording]:
    """Read the recordings in a file: a table with a line of names (.csv, .tsv, .txt), or arrays by name (.npz).

    A table's columns are divided by commas, semicolons or tabs; an empty cell is a missing value, and columns that are
    not asked for may hold anything. Lines that begin with #, a last line that is incomplete, as a logger leaves it that
    was switched off, and runs of a single sample are left out, with a warning. An archive's arrays have one row for
    each sample.

    Args:
        path: of the file.
        states: names of the columns or arrays that make up the state, in order; patterns such as `q*` take all that
            match, in the order of the file; `transitions_from_recordings` matches several files by name.
        controls: those of the control, alike.
        time: name of the times [s].
        run: name of what tells runs apart, numbers or words: where it changes, another recording begins.

    Raises:
        DatasetError: the file is missing, damaged or of another kind, a cell is no number, or every run is of one
            sample; names it.
        OptionError: a name that is not in the file, lists those that are; or a column that is state and control.
        ShapeError: the arrays do not fit together.
    """
    _check_arguments(path, states, controls)
    contents = _read(Path(path))
    chosen = {"states": _choose(contents, states), "controls": _choose(contents, controls)}
    both = [name for name in chosen["states"] if name in chosen["controls"]]
    if both:
        raise OptionError(
            f"{contents.file}: {', '.join(both)} cannot be state and control at once: leave it out of one."
        )
    arrays: dict[str, Any] = {role: _numbers(contents, names) for role, names in chosen.items()}
    labels: dict[str, Any] = {f"{role.removesuffix('s')}_names": _labels(contents, chosen[role]) for role in chosen}
    if time is not None:
        arrays["times"] = _numbers(contents, _choose(contents, [time])).ravel()
    else:
        _warn_of_unused_times(contents, [name for names in chosen.values() for name in names])
    name = str(contents.file)
    if run is None:
        return [Recording(**arrays, name=name, **labels, lines=contents.lines)]
    values = contents.columns[_choose(contents, [run])[0]]
    runs = [rows for rows in _runs(values) if rows.stop - rows.start > 1]
    if not runs:
        raise DatasetError(f"{name} has no run of two samples: {run!r} changes with every sample.")
    _warn_of_short_runs(name, run, [str(values[rows.start, 0]) for rows in _runs(values) if rows not in runs])
    return [
        Recording(
            **{role: array[rows] for role, array in arrays.items()},
            name=f"{name}, {run} {values[rows.start, 0]}",
            **labels,
            lines=contents.lines[rows],
        )
        for rows in runs
    ]


def _check_arguments(path: object, states: object, controls: object) -> None:
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"path = {path!r}: it must be one file; read several in a loop.")
    for role, names in (("states", states), ("controls", controls)):
        if isinstance(names, str):
            parts = [part.strip() for part in names.split(",")]
            raise OptionError(f"{role} = {names!r}: give a list of names, as {parts}.")


def _warn_of_unused_times(contents: "_Contents", chosen: Sequence[str]) -> None:
    """Warn of a column that looks like times, without which gaps are steps like others."""
    unused = [name for name in contents.columns if name.lower() in _TIMES and name not in chosen]
    if unused:
        warnings.warn(
            f"{contents.file} has a column {unused[0]!r} that is not used: with time={unused[0]!r} (--time) gaps are "
            "told from steps, and models know their time step.",
            stacklevel=3,
        )


def _warn_of_short_runs(name: str, run: str, labels: Sequence[str]) -> None:
    if labels:
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        warnings.warn(
            f"{name}: {len(labels)} runs of a single sample hold no transition and are left out: {run} "
            f"{', '.join(labels[:_SHOWN])}{more}.",
            stacklevel=3,
        )


@dataclass(frozen=True)
class _Contents:
    """What a file holds."""

    file: Path
    columns: Columns
    lines: Sequence[int] = ()
    """Of each sample, in a table."""
    unfit: Mapping[str, str] = field(default_factory=dict)
    """What arrays have that are no columns."""
    hint: str = ""
    """What may be wrong where a column is not found."""

    def place(self, sample: int) -> str:
        """Return where a sample is found, for messages."""
        return f"line {self.lines[sample]}" if self.lines else f"sample {sample}"


def _read(file: Path) -> _Contents:
    read = {".csv": _read_table, ".tsv": _read_table, ".txt": _read_table, ".npz": _read_archive}.get(file.suffix)
    if read is None:
        raise DatasetError(f"{file} is of no known kind: recordings are .csv, .tsv, .txt or .npz files.")
    try:
        return read(file)
    except (OSError, ValueError, csv.Error, zipfile.BadZipFile) as error:
        cause = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise DatasetError(f"{file} cannot be read: {cause}.") from error


def _read_table(file: Path) -> _Contents:
    table = read_table(file)
    return _Contents(file, table.columns, table.lines, hint=table.hint)


def _read_archive(file: Path) -> _Contents:
    with file.open("rb") as stream, np.load(stream) as archive:
        arrays = {name: _array(archive, name) for name in archive.files}
    columns = {
        name: array[:, None] if array.ndim == 1 else array
        for name, array in arrays.items()
        if array is not None and array.ndim in (1, 2)
    }
    unfit = {name: "no numbers" if array is None else f"shape {array.shape}" for name, array in arrays.items()}
    return _Contents(file, columns, unfit={name: what for name, what in unfit.items() if name not in columns})


def _array(archive: Any, name: str) -> AnyArray | None:
    """Return an array of an archive; None for one of Python objects, which a file from elsewhere must not bring."""
    try:
        return np.asarray(archive[name])
    except ValueError as error:
        if "allow_pickle" in str(error):
            return None
        raise


def _choose(contents: _Contents, names: Sequence[str]) -> list[str]:
    """Return the names of the columns that names or patterns stand for."""
    chosen: list[str] = []
    for name in names:
        if name in contents.unfit:
            what = contents.unfit[name]
            raise OptionError(f"{contents.file}: {name} has {what}; samples are rows of numbers, (S,) or (S, k).")
        columns = contents.columns
        found = [name] if name in columns else [column for column in columns if fnmatchcase(column, name)]
        if not found:
            raise OptionError(f"{contents.file} has no {name!r}: choose from {', '.join(columns)}.{contents.hint}")
        chosen += found
    if not chosen or len(set(chosen)) < len(chosen):
        raise OptionError(
            f"{list(names)} take {chosen or 'nothing'} of {contents.file}: each at most once, and one at least."
        )
    return chosen


def _labels(contents: _Contents, names: Sequence[str]) -> list[str]:
    """Return a name for each coordinate."""
    widths = {name: contents.columns[name].shape[1] for name in names}
    return [name if k == 1 else f"{name}[{i}]" for name, k in widths.items() for i in range(k)]


def _numbers(contents: _Contents, names: Sequence[str]) -> FloatArray:
    rows = {name: len(contents.columns[name]) for name in names}
    if len(set(rows.values())) > 1:
        raise OptionError(f"{contents.file} has unequal numbers of samples: {rows}.")
    return np.hstack([_as_numbers(contents, name) for name in names])


def _as_numbers(contents: _Contents, name: str) -> FloatArray:
    cells = contents.columns[name]
    if cells.dtype.kind == "U":
        cells = np.where(np.char.strip(cells) == "", "nan", cells)
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError) as error:
        sample = next(i for i, row in enumerate(cells) if not all(map(is_number, row)))
        place = contents.place(sample)
        named = f"{contents.file}, {place}: {name} is {cells[sample].tolist()}, no numbers."
        raise DatasetError(named + (remedy(cells, sample) if contents.lines else "")) from error


def _runs(labels: AnyArray) -> list[slice]:
    changes = 1 + np.flatnonzero((labels[1:] != labels[:-1]).any(axis=1))
    return [slice(low, high) for low, high in itertools.pairwise([0, *changes.tolist(), len(labels)])]
