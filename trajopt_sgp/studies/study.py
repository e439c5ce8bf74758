"""A study: cells, and what is made of their results; and the files that it leaves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from trajopt_sgp.files import write_atomically, write_json
from trajopt_sgp.studies.runner import CellRecord, StudyCell
from trajopt_sgp.viz.style import save_figure

PAGE, RESULTS = "index.md", "results.json"
"""Names of the files beside the figures."""

_FIGURE_DPI = 110


@dataclass(frozen=True)
class Study:
    """One command's worth of experiments."""

    name: str
    """On the command line, and of its folder."""
    title: str
    """Of its page."""
    question: str
    """What it is to find out, in a sentence."""
    version: int
    """Raised when the meaning of a cell changes, so that old results are not used again."""
    cells: Callable[[bool], list[StudyCell]]
    """All cells; with True those of the reduced version, which takes seconds and says nothing but that all works."""
    page: Callable[[Sequence[CellRecord]], str]
    """Finished records to the body of the page, Markdown."""
    figures: Callable[[Sequence[CellRecord]], Mapping[str, Figure]]
    """Finished records to figures by file name without suffix."""
    command: str = ""
    """What runs it, if not `trajopt-sgp study NAME`."""


def write_study(
    study: Study, records: Sequence[CellRecord], folder: Path, reduced: bool = False, total: int = 0
) -> dict[str, Path]:
    """Write page, results and figures of a study and return their paths by kind.

    The results hold every record, settings and seeds included, so that tables and figures can be made from them again.
    Versions are those that a cell was computed with: the results list each set once, and a cell has its place there.

    Args:
        study: what was run.
        records: of its cells, in their order.
        folder: made if missing.
        reduced: whether it was the reduced version.
        total: number of all cells, where some have no record yet: the page says that it is partial.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = [record for record in records if record.finished]
    write_json(folder / RESULTS, _document(study, records, reduced))
    drawn = study.figures(finished) if finished else {}
    figures = {name: save_figure(figure, folder / f"{name}.png", _FIGURE_DPI) for name, figure in drawn.items()}
    parts = [_head(study, records, reduced, total or len(records)), study.page(finished) if finished else ""]
    parts += [f"![{name.replace('-', ' ')}]({path.name})" for name, path in figures.items()]
    page = folder / PAGE
    write_atomically(page, ("\n\n".join(part for part in parts if part) + "\n").encode())
    return {"page": page, "results": folder / RESULTS, **figures}


def _document(study: Study, records: Sequence[CellRecord], reduced: bool) -> dict[str, Any]:
    sets = _version_sets(records)
    cells = [
        {
            "key": record.key,
            "label": record.label,
            "function": record.function,
            "settings": record.settings,
            "needs": record.needs,
            "status": record.status,
            "result": record.result,
            "error": record.error,
            "seconds": round(record.seconds, 3),
            "cpu_seconds": round(record.cpu_seconds, 3),
            "attempts": record.attempts,
            "left_files": record.left_files,
            "versions": None if record.versions is None else sets.index(record.versions),
        }
        for record in records
    ]
    head = {"study": study.name, "version": study.version, "reduced": reduced, "versions": sets}
    return {**head, "cells": cells}


def _version_sets(records: Sequence[CellRecord]) -> list[Mapping[str, str]]:
    """Return all that records were computed with, each once."""
    sets: list[Mapping[str, str]] = []
    for record in records:
        if record.versions is not None and record.versions not in sets:
            sets.append(record.versions)
    return sets


def _versions_text(records: Sequence[CellRecord]) -> str:
    """Return what the records were computed with, for example "python 3.11, torch 2.12 or 2.13"."""
    found: dict[str, list[str]] = {}
    for versions in _version_sets(records):
        for name, value in versions.items():
            found.setdefault(name, [])
            found[name] += [value] if value not in found[name] else []
    return ", ".join(f"{name} {' or '.join(values)}" for name, values in found.items()) or "not recorded"


def _head(study: Study, records: Sequence[CellRecord], reduced: bool, total: int) -> str:
    failed = [record for record in records if not record.finished]
    hours = sum(record.cpu_seconds for record in records) / 3600.0
    command = (study.command or f"trajopt-sgp study {study.name}") + (" --reduced" if reduced else "")
    text = f"""---
orphan: true
---

# {study.title}

{study.question}

This page is written by `{command}`; do not edit it. {len(records) - len(failed)} of {total} cells finished,
{hours:.2f} core-hours. Versions: {_versions_text(records)}. Intervals are 95 %: where the text does not say
otherwise, Wilson for rates, bootstrap for the rest."""
    if len(records) < total:
        text += "\n\n**Partial: the other cells have not been computed yet.**"
    if reduced:
        text += "\n\n**Reduced version: these numbers only show that every part runs.**"
    return text + "".join(f"\n- {record.label} failed: {record.error}" for record in failed)
