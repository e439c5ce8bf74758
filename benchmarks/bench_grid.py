"""Every solver with every formulation on every problem of the zoo.

`python -m benchmarks.bench_grid --write docs/grid.md` runs the cells that have no result yet and writes the page.
Results are kept in `benchmarks/results/grid/`, one file for each cell, so that a run goes on where it was stopped.
"""

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.grid_cells import (
    ALLOWED_ERROR,
    ALLOWED_VIOLATION,
    COST_TOLERANCE,
    FORMULATIONS,
    MAX_KNOTS,
    MESH_TOLERANCE,
    SOLVERS,
    Cell,
    Result,
    all_cells,
    load,
    run_cell,
    store,
)
from benchmarks.measure import Measurement, describe_machine
from tests.zoo import NAMES, KnownProblem, known

RESULTS = Path(__file__).parent / "results" / "grid"
TIME_LIMIT = 1800.0

COLUMNS = (
    "formulation",
    "solver",
    "knots",
    "objective",
    "relative error",
    "largest violation",
    "mesh error",
    "status",
    "iterations",
    "build [s]",
    "derivatives [s]",
    "solver [s]",
    "meets",
)


def measure() -> Iterator[Measurement]:
    """Run the cells that have no result yet; the time of a cell is that of all its solves."""
    for result in run(all_cells(), RESULTS):
        cell = result.cell
        seconds = result.total or 0.0
        yield Measurement(f"{cell.problem}, {cell.formulation}, {cell.solver}: {result.status}", seconds, seconds, 1)


def run(cells: Iterable[Cell], folder: Path, time_limit: float = TIME_LIMIT, again: bool = False) -> Iterator[Result]:
    """Return the results of cells, stored ones where there are any, and store the others."""
    for cell in cells:
        stored = None if again else load(cell, folder)
        result = stored or run_cell(cell, time_limit)
        if stored is None:
            store(result, folder)
        yield result


def page(results: Sequence[Result]) -> str:
    """Return the page of the grid in Markdown."""
    parts = [_head(results), _overview(results)]
    for name in NAMES:
        rows = [result for result in results if result.cell.problem == name]
        if rows:
            parts.append(_section(known(name), rows))
    return "\n\n".join(parts) + "\n"


def _head(results: Sequence[Result]) -> str:
    run_cells = [result for result in results if result.meets is not None]
    met = sum(bool(result.meets) for result in run_cells)
    machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    limits = "; ".join(
        f"{kind} solvers {ALLOWED_ERROR[kind]:g} and {ALLOWED_VIOLATION[kind]:g}" for kind in ALLOWED_ERROR
    )
    return f"""# The grid

Every solver with every formulation on the problems of `tests/zoo`. This page is written by
`python -m benchmarks.bench_grid --write docs/grid.md`; do not edit it.

NLP solvers run on the mesh that `refine_mesh` chooses, from the coarse mesh of the problem on, with a mesh tolerance of
{MESH_TOLERANCE:g}, a cost tolerance of {COST_TOLERANCE:g} and at most {MAX_KNOTS} knots; iterations and seconds
are sums over all rounds. The others run on the coarse mesh. Every cell has a time limit; its status tells where it was
reached.

`meets` tells whether the relative error of the objective and the largest violation of a bound, a constraint or the
dynamics are within their limits: {limits}. An NLP solver must also report success on the finest mesh.

{met} of {len(run_cells)} cells that ran meet their limits; {len(results) - len(run_cells)} pairs were refused, as they
do not work together.

Times are from a shared machine: {machine}."""


def _overview(results: Sequence[Result]) -> str:
    """Return a table of relative errors, pairs by problems."""
    found = {result.cell: result for result in results}
    rows = [["formulation", "solver", *NAMES]]
    for solver in SOLVERS:
        for formulation in FORMULATIONS:
            cells = [found.get(Cell(name, formulation, solver)) for name in NAMES]
            if any(cell is not None and cell.meets is not None for cell in cells):
                rows.append([formulation, solver, *(_error(result) for result in cells)])
    reasons = sorted({result.remark for result in results if result.meets is None})
    text = (
        "## Relative errors\n\nBold where a limit is missed, empty where a cell has not been run or does not apply.\n\n"
    )
    return text + _table(rows) + "".join(f"\n\n*Refused:* {reason}" for reason in reasons)


def _error(result: Result | None) -> str:
    if result is None:
        return ""
    if result.error is None:
        return result.status if result.meets is None else f"**{result.status}**"
    return _number(result.error) if result.meets else f"**{_number(result.error)}**"


def _section(record: KnownProblem, results: Sequence[Result]) -> str:
    optimum = f"Optimum {record.optimum:.9g}" + "".join(f"; another local optimum {v:.9g}" for v in record.other_optima)
    note = f" Note: {record.note}." if record.note else ""
    run_cells = [result for result in results if result.meets is not None]
    remarks = [f"- {r.cell.formulation}, {r.cell.solver}: {r.remark}" for r in run_cells if r.remark]
    text = f"## {record.name}\n\n{optimum} ({record.source}).{note}\n\n" + _table(
        [list(COLUMNS), *map(_row, run_cells)]
    )
    return text + ("\n\n" + "\n".join(remarks) if remarks else "")


def _row(result: Result) -> list[str]:
    times = [("" if value is None else f"{value:.2f}") for value in (result.build, result.derivatives, result.solver)]
    return [
        result.cell.formulation,
        result.cell.solver,
        "" if result.horizon is None else str(result.horizon + 1),
        "" if result.objective is None else f"{result.objective:.8g}",
        _number(result.error),
        _number(result.violation),
        _number(result.mesh_error),
        result.status,
        "" if result.iterations is None else str(result.iterations),
        *times,
        {True: "yes", False: "no", None: ""}[result.meets],
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if math.isfinite(value) else str(value)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main() -> None:
    """Run the chosen cells, say what each gave, and write the page of all results there are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_grid", description=__doc__)
    parser.add_argument("--problem", action="append", choices=NAMES, help="only this one (may be repeated)")
    parser.add_argument("--formulation", action="append", choices=list(FORMULATIONS), help="only this one")
    parser.add_argument("--solver", action="append", choices=list(SOLVERS), help="only this one")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT, metavar="S", help="wall time of a cell [s]")
    parser.add_argument("--again", action="store_true", help="run cells anew that have results")
    parser.add_argument("--no-run", action="store_true", help="only write the page of the results there are")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    options = parser.parse_args()
    chosen = [
        cell
        for cell in all_cells()
        if (not options.problem or cell.problem in options.problem)
        and (not options.formulation or cell.formulation in options.formulation)
        and (not options.solver or cell.solver in options.solver)
    ]
    results = [] if options.no_run else run(chosen, RESULTS, options.time_limit, options.again)
    for result in results:
        print(" | ".join(_row(result)), result.cell.problem, result.remark, sep=" | ", flush=True)
    if options.write:
        stored = [found for cell in all_cells() if (found := load(cell, RESULTS)) is not None]
        options.write.write_text(page(stored))


if __name__ == "__main__":
    main()
