"""What a command has to say: one document for programs, tables and lines for people."""

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trajopt_sgp.cli.tables import fit_table
from trajopt_sgp.studies.plain import plain_values

Block = str | Table

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class Update(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, remark: str = "") -> None:
        """Show the work done so far, and a remark."""


@dataclass(frozen=True)
class Report:
    """The result of a command."""

    document: Mapping[str, Any]
    """For `--json`: plain values, arrays, paths."""
    blocks: Sequence[Block] = ()
    """For people, printed in order."""
    exit_code: int = 0
    """Not 0 where the command has something to report and yet failed."""


def print_report(report: Report) -> None:
    """Print tables and lines on standard output."""
    # square brackets hold units, not markup
    console = Console(markup=False, highlight=False, emoji=False)
    for block in report.blocks:
        if isinstance(block, str):
            console.print(block, soft_wrap=True)
        else:
            console.print(*fit_table(block, console.width), sep="\n")


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document on standard output."""
    print(dump_json(document), flush=True)


def dump_json(document: Mapping[str, Any]) -> str:
    """Return strict JSON: paths become text, arrays lists, and what is not finite null."""
    return json.dumps(plain_values(document), indent=2, allow_nan=False, ensure_ascii=False)


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table; numbers are shown with four digits and stand on the right."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(format_value, row))
    return table


def make_listing(title: str, entries: Mapping[str, object]) -> Table:
    """Return a table of two columns without a head: names and values."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in entries.items():
        table.add_row(name, format_value(value))
    return table


def format_value(value: object) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {format_value(entry)}" for name, entry in value.items()) or "-"
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def progress_bar(title: str, total: int, quiet: bool) -> Iterator[Update]:
    """Yield a function of the work done so far, and a remark; a bar on standard error unless quiet or no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = quiet or not console.is_terminal
    with Progress(*columns, TextColumn("{task.fields[remark]}"), console=console, disable=hidden) as bar:
        task = bar.add_task(title, total=total, remark="")

        def update(done: int, remark: str = "") -> None:
            bar.update(task, completed=done, remark=remark)

        yield update


@contextmanager
def working(title: str, quiet: bool) -> Iterator[None]:
    """Show on standard error that something goes on whose end is not known, unless quiet or no terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
    else:
        with console.status(title):
            yield


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings to the user as one line each, without the place in this library that they come from."""
    before = warnings.formatwarning

    def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        return f"Warning: {message}\n" if category is UserWarning else before(message, category, *place, **more)

    warnings.formatwarning = shown
    try:
        yield
    finally:
        warnings.formatwarning = before


def note(text: str, quiet: bool) -> None:
    """Write a line about what goes on to standard error, unless quiet."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)
