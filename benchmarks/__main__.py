"""Run the benchmarks: `python -m benchmarks [NAME ...] [--list] [--quick] [--publish] [--json FILE]`.

A whole run writes benchmarks/results/latest.json, docs/benchmarks.md and the plots in docs/images; so does a run of
named cases that is told to `--publish`, which leaves the others as they were. Every case is written when it has been
measured. It fails where results disagree or a ratio has fallen.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import benchmarks
from benchmarks.measure import describe_machine
from benchmarks.plots import draw
from benchmarks.published import Results, Run
from benchmarks.registry import all_cases, choose
from benchmarks.regression import committed, regressions
from benchmarks.report import GENERATOR, page, table
from benchmarks.rows import Case, Row, as_row

ROOT = Path(__file__).parents[1]
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named cases, or all but the studies; return 1 if any row is an error or a ratio has fallen."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.quick and options.publish:
        parser.error("--quick is to see that everything runs: its results are not published")
    console, cases = Console(width=200), all_cases()
    try:
        chosen = choose(cases, options.names)
    except ValueError as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        return 2
    if options.list:
        for case in cases:
            study = " (only when named)" if case.study else ""
            console.print(f"{case.name}: {case.summary}{study}", highlight=False, markup=False, soft_wrap=True)
        return 0
    command = " ".join([GENERATOR, *(sys.argv[1:] if arguments is None else arguments)])
    run = Run(command, describe_machine())
    console.print(run.machine)
    outputs = _outputs(options)
    for case in chosen:
        run.found[case.name] = _run(case, options.quick, console)
        for path, before in outputs.items():
            before.with_run(run).write(path)
    if LATEST in outputs:
        _publish(cases)
    rows = [row for found in run.found.values() for row in found]
    return _conclude(rows, [] if options.quick else regressions(rows, committed(LATEST)), console)


def _outputs(options: argparse.Namespace) -> dict[Path, Results]:
    """Return the files that receive the results, and what they hold of other cases."""
    found = {} if options.json is None else {options.json: Results()}
    if options.publish or not (options.names or options.quick):
        found[LATEST] = Results.read(LATEST)
    return found


def _run(case: Case, quick: bool, console: Console) -> list[Row]:
    console.print(f"\n{case.name}: {case.summary}", markup=False)
    rows = []
    for measured in case.run(quick):
        rows.append(as_row(measured))
        console.print(table(rows[-1:]).splitlines()[-1], markup=False, highlight=False, soft_wrap=True)
    return rows


def _publish(cases: Sequence[Case]) -> None:
    """Write the page and the plots of the results of all cases that there are still."""
    results = Results.read(LATEST).only(case.name for case in cases)
    results.write(LATEST)
    plots = draw([row for run in results.runs for rows in run.found.values() for row in rows], ROOT / "docs" / "images")
    (ROOT / "docs" / "benchmarks.md").write_text(page(results, {case.name: case.summary for case in cases}, plots))


def _conclude(rows: Sequence[Row], fallen: Sequence[str], console: Console) -> int:
    errors = [f"{row.case}, {row.peer}: {row.error}" for row in rows if row.error]
    for line in errors:
        console.print(f"error: {line}", markup=False, soft_wrap=True)
    for line in fallen:
        console.print(f"slower: {line}", markup=False, soft_wrap=True)
    return int(bool(errors or fallen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="cases, benchmarks or patterns (default: all but studies)"
    )
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, to see that everything runs")
    parser.add_argument("--publish", action="store_true", help="write results, page and plots of named cases too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    return parser


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # libraries read these when they are loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | ONE_THREAD)
    sys.exit(main())
