"""The records of a study that are there already: in the folder of a run, or in published results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.studies.runner import CellRecord, CellStore, StudyCell
from trajopt_sgp.studies.study import Study


def stored_records(study: Study, cells: Sequence[StudyCell], store: CellStore) -> list[CellRecord]:
    """Return the records of the cells that have one, in the order of the cells."""
    stored = [store.load(cell, cell.key(study.name, study.version)) for cell in cells]
    return [record for record in stored if record is not None]


def restore_records(study: Study, cells: Sequence[StudyCell], results: Path, store: CellStore) -> int:
    """Take the finished cells of published results into a store and return their number.

    What the store has already stays. Results hold no files: cells whose files another cell needs are computed again
    when it is.

    Args:
        study: whose results they are.
        cells: those that are wanted; others, and cells of another key, are left.
        results: `results.json`, as `write_study` writes it.
        store: receives the records.

    Raises:
        FileError: the file is missing or damaged.
        OptionError: it is of another study or version.
    """
    document = _read(results)
    found, wanted = (document["study"], document["version"]), (study.name, study.version)
    if found != wanted:
        raise OptionError(
            f"{results} is of study {found[0]!r} in version {found[1]}, not of {wanted[0]!r} in {wanted[1]}."
        )
    published = {entry["key"]: entry for entry in document["cells"] if entry["status"] == "finished"}
    keyed = {cell.key(study.name, study.version): cell for cell in cells}
    taken = [key for key, cell in keyed.items() if key in published and store.load(cell, key) is None]
    common = {name: document[name] for name in ("study", "version")}
    for key in taken:
        versions = _versions(document["versions"], published[key])
        store.save(keyed[key], CellRecord(**{**common, **published[key], "versions": versions}))
    return len(taken)


def count_finished(results: Path) -> int:
    """Return the number of finished cells in published results, 0 where there are none.

    Raises:
        FileError: the file is damaged.
    """
    cells = _read(results)["cells"] if results.exists() else []
    return sum(entry["status"] == "finished" for entry in cells)


def _versions(published: list[dict[str, str]] | dict[str, str], entry: Mapping[str, Any]) -> dict[str, str] | None:
    """Return what a cell was computed with."""
    if isinstance(published, dict):  # results of before cells had their own
        return published
    return None if entry["versions"] is None else published[entry["versions"]]


def _read(results: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
        missing = {"study", "version", "versions", "cells"} - set(document)
    except FileNotFoundError as error:
        raise FileError(f"There are no results {results}; nothing to restore.") from error
    except (ValueError, TypeError) as error:
        raise FileError(f"{results} is damaged: {error}.") from error
    if missing:
        raise FileError(f"{results} holds no results of a study: it lacks {', '.join(sorted(missing))}.")
    return document
