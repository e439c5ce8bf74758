"""Tables that fit a terminal: lines end between words, and columns that do not fit make a table of their own."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Column, Table

# rules and spaces around a column, and the last rule
_FRAME, _EDGE = 3, 1
_HASH = 24
"""Longer words without punctuation are hashes and the like, which may be broken anywhere."""
# where a word that is too long may be broken: after punctuation, but not within a number
_SEAMS = re.compile(r"(?<=[,:/=])(?=\S)|(?<=[a-z]-)(?=[a-z])")


def fit_table(table: Table, width: int) -> Iterator[Table]:
    """Yield tables no wider than `width` letters, if that can be, that hold the columns of one, in their order.

    Lines end between words, or after punctuation in long ones. Columns that still do not fit make another table, whose
    rows begin with the same first column.
    """
    columns = [_Column.of(column) for column in table.columns]
    head, rest = columns[:1], columns[1:]
    while rest:
        count = max((n for n in range(1, len(rest) + 1) if _width([*head, *rest[:n]]) <= width), default=1)
        yield _copy(table, [*head, *rest[:count]], width)
        rest = rest[count:]
    if len(columns) < 2:
        yield table


@dataclass(frozen=True)
class _Column:
    """A column as texts."""

    source: Column
    texts: Sequence[str]
    """Header, if it is shown, and cells."""

    @staticmethod
    def of(column: Column) -> "_Column":
        return _Column(column, [str(column.header), *map(str, column.cells)])

    @property
    def longest_line(self) -> int:
        return _longest(line for text in self.texts for line in text.splitlines())

    @property
    def longest_word(self) -> int:
        return _longest(self._words())

    @property
    def longest_piece(self) -> int:
        return min(_longest(piece for word in self._words() for piece in _SEAMS.split(word)), _HASH)

    def _words(self) -> Iterator[str]:
        return (word for text in self.texts for word in text.split())


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _width(columns: Sequence[_Column]) -> int:
    """Return the least width of a table of these columns."""
    return sum(column.longest_piece + _FRAME for column in columns) + _EDGE


def _copy(table: Table, columns: Sequence[_Column], width: int) -> Table:
    widths = _share(columns, width - _FRAME * len(columns) - _EDGE)
    copy = Table(title=table.title, title_justify="left", show_header=table.show_header)
    wrapped = [[_wrap(text, width) for text in column.texts] for column, width in zip(columns, widths, strict=True)]
    for column, (header, *_) in zip(columns, wrapped, strict=True):
        copy.add_column(header, justify=column.source.justify, no_wrap=True, overflow="fold")
    for cells in zip(*(texts[1:] for texts in wrapped), strict=True):
        copy.add_row(*cells)
    return copy


def _share(columns: Sequence[_Column], room: int) -> list[int]:
    """Return widths: those of the longest lines, the widest narrowed first to its words, then to pieces of them."""
    widths = [column.longest_line for column in columns]
    for least in ([column.longest_word for column in columns], [column.longest_piece for column in columns]):
        while sum(widths) > room and (wide := [k for k, width in enumerate(widths) if width > least[k]]):
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _wrap(text: str, width: int) -> str:
    return "\n".join(line for part in text.splitlines() or [""] for line in _lines(part, width))


def _lines(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        pieces = [word] if cell_len(word) <= width else list(_pieces(word, width))
        for k, piece in enumerate(pieces):
            longer = f"{line} {piece}" if line and not k else line + piece
            if line and cell_len(longer) > width:
                yield line
                longer = piece
            line = longer
    yield line


def _pieces(word: str, width: int) -> Iterator[str]:
    for piece in _SEAMS.split(word):
        yield from (piece[k : k + width] for k in range(0, len(piece), max(width, 1)))
