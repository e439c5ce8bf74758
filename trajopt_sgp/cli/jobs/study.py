"""Running a study where its cells are kept, and writing what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from trajopt_sgp.cli.report import Block, Report, make_table, note, progress_bar
from trajopt_sgp.cli.run_folder import open_run_folder
from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.place import place_of_page, published_folder
from trajopt_sgp.studies.registry import STUDIES, find_study
from trajopt_sgp.studies.runner import (
    Backend,
    CellRecord,
    CellStore,
    ProcessPool,
    RayCluster,
    Serial,
    StudyCell,
    run_cells,
)
from trajopt_sgp.studies.stored import restore_records, stored_records
from trajopt_sgp.studies.study import RESULTS, Study, write_study

_FAILED = 1


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """The arguments of the command."""

    name: str | None
    list_studies: bool
    reduced: bool
    only: str | None
    restore: bool
    publish_only: bool
    workers: int
    ray_address: str | None
    folder: Path | None
    output: Path | None
    json_output: bool


def run_study(request: StudyRequest) -> Report:
    """Compute what has no result yet, write page, results and figures, and report; or list the studies.

    Raises:
        OptionError: an unknown study, no cell of the wanted label, Ray is missing, no cluster answers, there are no
            results to restore or to publish, or those in the output folder have more finished cells.
    """
    if request.list_studies:
        return _listing(request)
    if request.name is None:
        raise OptionError(f"Which study? Choose from {', '.join(STUDIES)}.")
    study = find_study(request.name)
    everything = study.cells(request.reduced)
    cells = choose_cells(everything, request.only)
    with open_run_folder(request.folder or Path("runs/studies") / study.name) as folder:
        folder.write_config("study", asdict(request))
        store = CellStore(folder.path)
        if request.restore:
            results = published_folder(study, request.output) / RESULTS
            restored = restore_records(study, everything, results, store)
            note(f"{restored} cells restored from {results}", request.json_output)
        if not request.publish_only:
            _compute(request, study, cells, store)
        records = stored_records(study, everything, store)
        if not records:
            raise OptionError(f"{folder.path} has no cells of study {study.name!r} to publish.")
        total = 0 if request.reduced else len(everything)
        output = place_of_page(study, records, total, folder.path, request.output)
        files = write_study(study, records, output, request.reduced, len(everything))
        return _report(study, records, {**files, "cells": folder.path})


def choose_cells(cells: Sequence[StudyCell], text: str | None) -> list[StudyCell]:
    """Return the cells with a text in their label, and all that they need, in their order.

    Raises:
        OptionError: there is none.
    """
    wanted = {cell.label for cell in cells if text is None or text in cell.label}
    if not wanted:
        raise OptionError(f"No cell has {text!r} in its label; --list shows them.")
    for cell in reversed(cells):
        if cell.label in wanted:
            wanted |= {other.label for other in cell.needs.values()}
    return [cell for cell in cells if cell.label in wanted]


def _compute(request: StudyRequest, study: Study, cells: Sequence[StudyCell], store: CellStore) -> None:
    quiet = request.json_output or Console(stderr=True).is_terminal
    with progress_bar(study.name, len(cells), request.json_output) as update:

        def tell(done: int, total: int, remark: str) -> None:
            update(done, remark)
            note(f"{done} of {total} cells{': ' * bool(remark)}{remark}", quiet)

        run_cells(study.name, study.version, cells, store, _backend(request), progress=tell)


def _backend(request: StudyRequest) -> Backend:
    if request.ray_address is not None:
        return RayCluster(request.ray_address, request.workers)
    return ProcessPool(request.workers) if request.workers else Serial()


def _report(study: Study, records: Sequence[CellRecord], files: Mapping[str, Path]) -> Report:
    failed = {record.label: record.error for record in records if not record.finished}
    seconds = sum(record.cpu_seconds for record in records)
    document: dict[str, Any] = {
        "study": study.name,
        "cells": len(records),
        "failed": failed,
        "cpu_seconds": seconds,
        "files": files,
    }
    blocks: list[Block] = [f"{label} failed: {error}" for label, error in failed.items()]
    blocks.append(f"{len(records) - len(failed)} of {len(records)} cells finished, {seconds / 3600.0:.3f} core-hours.")
    blocks += [f"{kind}: {path}" for kind, path in files.items()]
    return Report(document, blocks, _FAILED if failed else 0)


def _listing(request: StudyRequest) -> Report:
    names = list(STUDIES) if request.name is None else [request.name]
    studies = {name: [cell.label for cell in find_study(name).cells(request.reduced)] for name in names}
    rows = [[name, len(labels), STUDIES[name]] for name, labels in studies.items()]
    blocks: list[Block] = [make_table("Studies", ["name", "cells", "finds out"], rows)]
    if request.name is not None:
        blocks += studies[request.name]
    return Report(studies, blocks)
