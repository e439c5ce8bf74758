"""A report as one HTML file that needs nothing else: pictures inside, no scripts, no links to elsewhere."""

import base64
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.files import write_atomically
from trajopt_sgp.viz.report_style import STYLESHEET

Cell = str | bool | int | float | np.generic | None

_WIDE = 800
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown."""

    header: str = ""
    """Text of the header; the key with spaces for underscores if empty."""
    unit: str = ""
    """Unit [in brackets] after the header; with "%" numbers are multiplied by 100."""
    spec: str = ""
    """Format of floating-point numbers, as in `format(number, spec)`, of the percentage where the unit is "%".

    If empty: three significant digits, and whole numbers with separated thousands from 1000.
    """


@dataclass(frozen=True)
class Table:
    """Rows of values by key; the keys of the first row, or those of `columns`, make the columns."""

    rows: Sequence[Mapping[str, Cell]]
    """A missing entry or None is shown as a dash, a boolean as yes or no."""
    columns: Mapping[str, Column | str] = field(default_factory=dict)
    """Which keys to show, in what order and how; a text is a header."""
    caption: str = ""
    """A sentence under the table."""
    highlight: Sequence[int] = ()
    """Indices of the rows that the text is about."""


@dataclass(frozen=True)
class Picture:
    """An image file with a caption."""

    path: Path
    """PNG, GIF or JPEG."""
    caption: str = ""
    """A sentence under the picture that says what to see in it."""


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, pictures and a table, in this order; all but the heading may be missing."""

    title: str
    """The heading."""
    text: str = ""
    """Paragraphs, apart by an empty line; words between backquotes are set as code."""
    table: Table | Sequence[Mapping[str, Cell]] | None = None
    """A table, or rows to show as they are."""
    images: Sequence[Picture | Path] = ()
    """Pictures, or files of pictures without caption."""


def write_report(
    path: Path,
    title: str,
    sections: Sequence[Section],
    headline: str = "",
    facts: Mapping[str, str] | None = None,
    footer: str = "",
) -> Path:
    """Write a report whole or not at all and return its path.

    Args:
        path: of the HTML file; its folder is made if missing.
        title: what the report is about.
        sections: its content.
        headline: the result in one or two plain sentences, under the title.
        facts: a few large values by their meaning, for example {"of 64 guided plans succeed": "64"}.
        footer: how the report was made: seed, versions, command.

    Raises:
        FileError: a picture is missing or of an unknown kind.
        OptionError: a format does not fit a number; names it.
    """
    body = "\n".join(
        [
            f"<header>\n<h1>{_escape(title)}</h1>",
            f'<p class="headline">{_inline(headline)}</p>' if headline else "",
            _facts(facts or {}),
            "</header>",
            *map(_section, sections),
            f"<footer>{_paragraphs(footer)}</footer>" if footer else "",
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _page(title, body).encode())
    return path


def format_cell(value: Cell, column: Column) -> str:
    """Return a value of a table as text, not yet escaped.

    Raises:
        OptionError: the format does not fit the number.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None:
        return "–"
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if isinstance(plain, int | float):
        return _format_number(plain, column).replace("-", "−")
    return str(plain)


def _format_number(value: int | float, column: Column) -> str:
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "not a number")
    scaled = 100 * value if column.unit == "%" else value
    if isinstance(scaled, int) and not column.spec:
        return f"{scaled:,}"
    try:
        text = format(scaled, column.spec or (".3g" if abs(scaled) < 999.5 else ",.0f"))
    except ValueError as error:
        raise OptionError(f"The format {column.spec!r} does not fit the number {value}: {error}.") from error
    return re.sub(r"e([+-])0*(\d+)$", lambda match: f"e{match[1].strip('+')}{match[2]}", text)


def _page(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_escape(title)}</title>
<style>{STYLESHEET}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(
        f"<div><dt>{_escape(meaning)}</dt><dd>{_escape(value)}</dd></div>" for meaning, value in facts.items()
    )
    return f'<dl class="facts">{items}</dl>' if items else ""


def _section(section: Section) -> str:
    table = section.table
    if table is not None and not isinstance(table, Table):
        table = Table(table)
    parts = (
        f"<h2>{_escape(section.title)}</h2>",
        _paragraphs(section.text),
        *(_figure(image if isinstance(image, Picture) else Picture(image), section.title) for image in section.images),
        "" if table is None else _table(table),
    )
    return "<section>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _table(table: Table) -> str:
    keys = list(table.columns or (table.rows[0] if table.rows else ()))
    columns = [_column(key, table.columns.get(key, Column())) for key in keys]
    numeric = [any(isinstance(row.get(key), int | float | np.number) for row in table.rows) for key in keys]
    classes = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(f'<th scope="col"{c}>{_header(column)}</th>' for c, column in zip(classes, columns, strict=True))
    rows = [
        "".join(
            f"<td{c}>{_escape(format_cell(row.get(key), column))}</td>"
            for c, key, column in zip(classes, keys, columns, strict=True)
        )
        for row in table.rows
    ]
    marks = [' class="highlight"' if i in table.highlight else "" for i in range(len(rows))]
    content = "\n".join(f"<tr{mark}>{row}</tr>" for mark, row in zip(marks, rows, strict=True))
    caption = f'<p class="caption">{_inline(table.caption)}</p>' if table.caption else ""
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{content}\n</tbody>"
    return f'<div class="table"><table>\n{body}</table></div>{caption}'


def _column(key: str, column: Column | str) -> Column:
    given = Column(column) if isinstance(column, str) else column
    return given if given.header else Column(key.replace("_", " "), given.unit, given.spec)


def _header(column: Column) -> str:
    unit = f' <span class="unit">[{_escape(column.unit)}]</span>' if column.unit else ""
    return _escape(column.header) + unit


def _figure(picture: Picture, title: str) -> str:
    kind = _MEDIA_TYPES.get(picture.path.suffix.lower())
    if kind is None:
        raise FileError(f"{picture.path} is no picture of a known kind: {', '.join(_MEDIA_TYPES)}.")
    try:
        content = picture.path.read_bytes()
        width = _width(content)
    except OSError as error:
        raise FileError(f"The picture {picture.path} cannot be read: {error}.") from error
    caption = f"<figcaption>{_inline(picture.caption)}</figcaption>" if picture.caption else ""
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    alternative = _escape(picture.caption or title)
    size = ' class="wide"' if width > _WIDE else ""
    image = f'<img{size} src="{source}" alt="{alternative}" style="width: {width}px">'
    return f'<figure><div class="scroll">{image}</div>{caption}</figure>'


def _width(content: bytes) -> int:
    """Return the width on the page, in CSS pixels of 1/96 inch, so that letters in all pictures have one size.

    Raises:
        OSError: the content is no picture.
    """
    with Image.open(io.BytesIO(content)) as image:
        dots_per_inch = float(image.info.get("dpi", (96.0, 96.0))[0])
        return round(image.width * 96.0 / dots_per_inch)


def _paragraphs(text: str) -> str:
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]
    return "\n".join(f"<p>{_inline(block)}</p>" for block in blocks)


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _escape(text))


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
