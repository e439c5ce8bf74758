"""Compare methods on the twelve datasets: `python -m benchmarks.d4rl.evaluate [--tasks TASK ...] [--methods ...]`.

Cells that are finished are not computed again, whatever ended the last run; `--publish-only` computes none. The page is
made of all cells there are. It takes the place of the published one if none is missing; otherwise it goes to `page/` in
the folder of the run.
"""

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.d4rl.figures import draw
from benchmarks.d4rl.protocol import MAIN_SEEDS, PARTS, all_cells
from benchmarks.d4rl.provenance import check_data
from benchmarks.d4rl.table import page
from trajopt_sgp.errors import TrajoptError
from trajopt_sgp.studies.place import place_of_page, published_folder
from trajopt_sgp.studies.runner import Backend, CellStore, ProcessPool, RayCluster, Serial, StudyCell, run_cells
from trajopt_sgp.studies.stored import restore_records, stored_records
from trajopt_sgp.studies.study import RESULTS, Study, write_study

STUDY = Study(
    name="d4rl",
    title="Score-guided planning on D4RL's locomotion tasks, beside its peers",
    question="Does planning guided by the score earn more than the behaviour it learned from, and than methods that "
    "people would use instead, on the same data?",
    version=1,
    cells=all_cells,
    page=page,
    figures=draw,
    command="python -m benchmarks.d4rl.evaluate",
)

_PARTS = ", ".join(PARTS).replace("%", "%%")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute what is missing of the chosen cells and write the page; return 1 if a cell failed or input is refused."""
    options = _parser().parse_args(arguments)
    try:
        return int(not _evaluate(options))
    except TrajoptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _evaluate(options: argparse.Namespace) -> bool:
    """Return whether there are records, and all of them are finished."""
    everything, store = STUDY.cells(options.reduced), CellStore(options.folder)
    wanted = [cell for cell in everything if _is_chosen(cell, options)]
    needed = {need.label for cell in wanted for need in cell.needs.values()} | {cell.label for cell in wanted}
    unique = [cell for cell in everything if cell.label in needed]
    if options.restore:
        restore_records(STUDY, everything, published_folder(STUDY, options.output) / RESULTS, store)
    if not options.publish_only:
        check_data(sorted({cell.settings["task"] for cell in wanted}), stored_records(STUDY, everything, store))
        run_cells(STUDY.name, STUDY.version, unique, store, _backend(options), progress=_tell)
    records = stored_records(STUDY, everything, store)
    total = 0 if options.reduced else len(everything)
    output = place_of_page(STUDY, records, total, options.folder, options.output)
    write_study(STUDY, records, output, options.reduced, total=len(everything))
    return bool(records) and all(record.finished for record in records)


def _is_chosen(cell: StudyCell, options: argparse.Namespace) -> bool:
    method = cell.label.split()[1]
    task_fits = any(fnmatchcase(cell.settings["task"], pattern) for pattern in options.tasks)
    return task_fits and method in options.methods and cell.settings.get("seed", 0) < options.seeds


def _backend(options: argparse.Namespace) -> Backend:
    if options.ray_address is not None:
        return RayCluster(options.ray_address, options.workers)
    return ProcessPool(options.workers) if options.workers else Serial()


def _tell(done: int, total: int, remark: str) -> None:
    print(f"{done} of {total} cells {remark}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.d4rl.evaluate", description="Compare methods.")
    parser.add_argument("--tasks", nargs="+", default=["*"], metavar="TASK", help="names or patterns (default: all)")
    parser.add_argument("--methods", nargs="+", default=PARTS, choices=PARTS, metavar="PART", help=_PARTS)
    parser.add_argument("--seeds", type=int, default=MAIN_SEEDS, help="at most so many of each (default: %(default)s)")
    parser.add_argument("--reduced", action="store_true", help="one dataset, tiny models: to see that all works")
    parser.add_argument("--restore", action="store_true", help="first take over the results in --output")
    parser.add_argument("--publish-only", action="store_true", help="write the page from the cells there are")
    parser.add_argument("--workers", type=int, default=1, help="cells at a time; 0: in this process")
    parser.add_argument("--ray-address", help='compute on Ray at this address; "local" starts one')
    parser.add_argument("--folder", type=Path, default=Path("runs/studies/d4rl"), help="keeps finished cells")
    parser.add_argument("--output", type=Path, help="receives page and results (default: docs/studies/d4rl if whole)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
