"""Tables as text: a line of names, and below it cells that commas, semicolons or tabs divide."""

import csv
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajopt_sgp.arrays import AnyArray

_DELIMITERS = ",;\t"
_COMMENT = "#"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(e[+-]?\d+)?\s*", re.IGNORECASE)
_UNDIVIDED = " Its first line has blanks alone between words: commas, semicolons or tabs divide columns."


@dataclass(frozen=True)
class TextTable:
    """Cells as they stand in the file."""

    columns: dict[str, AnyArray]
    """By name, text `(S, 1)` each."""
    lines: list[int]
    """On which line of the file each row ends."""
    hint: str
    """What may be wrong where a column is not found."""


def read_table(file: Path) -> TextTable:
    """Read a table; lines that begin with # and a last line that is incomplete are left out with a warning.

    Raises:
        OSError: the file cannot be opened.
        ValueError: its first line names no columns or one twice, or a line has another number of cells; says so.
        csv.Error: it is no table.
    """
    with file.open(encoding="utf-8-sig", newline="") as text:
        lines = [(number, line) for number, line in enumerate(text, 1) if line.strip()]
    lines = _with_names(lines)
    told = [line for line in lines if not _is_comment(line[1])]
    head = told[0][1] if told else ""
    names, *rows = _rows(told, _delimiter(head)) or [(1, [])]
    columns = [name.strip() for name in names[1]]
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(f"its first line must name the columns, each differently, not {columns}")
    incomplete = rows[-1:] if len(rows) > 1 and _breaks_off(rows, len(columns), lines[-1][1]) else []
    whole = rows[: len(rows) - len(incomplete)]
    _check_even(whole, columns)
    _warn_of_left_out(file, len(lines) - len(told), [line for line, _ in incomplete])
    cells = np.array([row for _, row in whole], dtype=np.str_).reshape(len(whole), len(columns))
    undivided = len(columns) == 1 and len(head.split()) > 1
    return TextTable(
        columns={name: cells[:, [i]] for i, name in enumerate(columns)},
        lines=[line for line, _ in whole],
        hint=_UNDIVIDED if undivided else "",
    )


def remedy(cells: AnyArray, sample: int) -> str:
    """Return what to do about a cell of a column `(S, k)` that should be a number, or nothing."""
    if all(_DECIMAL_COMMA.fullmatch(cell) for cell in cells[sample].astype(str)):
        return " Numbers need decimal points: replace the commas in the file."
    if sample == 0 and len(cells) > 1 and all(map(is_number, cells[1])):
        return " If this line holds units, delete it, or let it begin with #."
    return ""


def is_number(cell: object) -> bool:
    """Return whether a cell can be read as a number."""
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(_COMMENT)


def _delimiter(head: str) -> str:
    return max(_DELIMITERS, key=head.count)


def _with_names(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the lines, of which a comment above numbers alone is none if it names them, as NumPy writes it."""
    first = next((i for i, (_, line) in enumerate(lines) if not _is_comment(line)), 0)
    if first == 0:
        return lines
    (number, above), (_, head) = lines[first - 1 : first + 1]
    cells, bare = head.split(_delimiter(head)), above.lstrip().removeprefix(_COMMENT)
    if all(map(is_number, cells)) and len(bare.split(_delimiter(head))) == len(cells) > 1:
        return [*lines[: first - 1], (number, bare), *lines[first:]]
    return lines


def _rows(lines: Sequence[tuple[int, str]], delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the cells of every row, each with the line of the file on which it ends."""
    reader = csv.reader((line for _, line in lines), delimiter=delimiter)
    return [(lines[reader.line_num - 1][0], row) for row in reader if row]


def _breaks_off(rows: Sequence[tuple[int, list[str]]], width: int, last: str) -> bool:
    """Return whether the last row lacks cells, or seems to lack digits where the file ends without a line break."""
    cells = rows[-1][1]
    if len(cells) < width:
        return True
    others = [len(row[-1].strip()) for _, row in rows[:-1] if len(row) == width]
    open_ended = not last.endswith(("\n", "\r"))
    return open_ended and len(cells) == width and len(others) > 1 and len(cells[-1].strip()) < min(others)


def _check_even(rows: Sequence[tuple[int, list[str]]], columns: Sequence[str]) -> None:
    for line, row in rows:
        if len(row) != len(columns):
            named = f"line {line} has {len(row)} cells, the first line names {len(columns)} columns"
            pairs = [f"{whole},{part}" for whole, part in zip(row[::2], row[1::2], strict=False)]
            commas = len(row) == 2 * len(columns) and all(map(_DECIMAL_COMMA.fullmatch, pairs))
            raise ValueError(named + (": numbers need decimal points, not commas" if commas else ""))


def _warn_of_left_out(file: Path, comments: int, incomplete: Sequence[int]) -> None:
    told = [f"{comments} that begin with #"] if comments else []
    told += [f"the last, line {line}, which is incomplete" for line in incomplete]
    if told:
        warnings.warn(f"{file}: lines are left out: {' and '.join(told)}.", stacklevel=6)
