"""Comparing formulations and solvers on one problem."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from trajopt_sgp.cli.report import Block, Report, progress_bar
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.models import TransitionModel
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.guess import line_guess
from trajopt_sgp.studies.compare import Cell, compare, suitable_formulations
from trajopt_sgp.studies.compare_choices import kinds, parse_choices, valid_keys
from trajopt_sgp.studies.compare_problem import find_plant, find_problem
from trajopt_sgp.studies.compare_report import (
    draw_comparison,
    header,
    headline,
    meaning,
    shown_columns,
    table_cells,
    write_html,
    write_markdown,
)
from trajopt_sgp.studies.problems import BUILT_IN, BuiltInProblem
from trajopt_sgp.viz import Column

_WIDE = 180
_PARTS: Mapping[str, Sequence[str]] = {
    "result": ("formulation", "solver", "status", "cost", "relative_error"),
    "accuracy": ("defect", "mesh_error", "resimulated_gap", "resimulated_cost", "kkt_residual"),
    "plant": ("plant_gap", "plant_cost"),
    "size": ("intervals", "variables", "iterations"),
    "time": ("build_seconds", "derivatives_seconds", "solver_seconds", "warm_up_seconds"),
}


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """The arguments of the command."""

    problem: str
    formulations: str | None
    solvers: str
    refine: float | None
    guess: str
    time_limit: float | None
    plant: str | None
    plots: bool
    folder: Path
    seed: int
    json_output: bool


def run_compare(request: CompareRequest) -> Report:
    """Solve in every way, write table, pictures and report, and report.

    Raises:
        OptionError: an unknown problem, formulation, solver or setting, or a number that is not positive.
        IncompatibleError: a mesh shall be refined of a problem in discrete time, no formulation fits the problem, or a
            plant shall judge plans whose intervals are not of one length.
    """
    _check_numbers(request)
    solvers = parse_choices(Solver, request.solvers)  # type: ignore[type-abstract]
    named = None if request.formulations is None else parse_choices(Formulation, request.formulations)  # type: ignore[type-abstract]
    problem, known = find_problem(request.problem)
    plant = None if request.plant is None else find_plant(request.plant)
    formulations = named or suitable_formulations(problem)
    with open_run_folder(request.folder) as folder:
        total = len(formulations) * len(solvers)
        with progress_bar("Comparing", total, request.json_output) as update:
            cells = compare(
                problem,
                formulations,
                solvers,
                _guess(request, problem, known),
                refine=request.refine,
                time_limit=request.time_limit,
                seed=request.seed,
                progress=update,
                plant=plant,
            )
            update(total)
        return _report(request, problem, known, cells, folder)


def describe_choices() -> str:
    """Return what may be compared, as Markdown: problems, formulations and solvers with their settings."""
    problems = [f"- `{name}`: {entry.summary}" for name, entry in BUILT_IN.items()]
    groups: dict[str, Mapping[str, type[Any]]] = {
        "formulations": kinds(Formulation),
        "solvers": kinds(Solver),
    }
    blocks = ["Built-in problems:", "\n".join(problems)]
    for title, entries in groups.items():
        lines = [f"- `{name}`: {', '.join(valid_keys(kind)) or 'no settings'}" for name, kind in entries.items()]
        blocks += [f"{title.capitalize()}, with their settings:", "\n".join(lines)]
    return "\n\n".join(blocks)


def _check_numbers(request: CompareRequest) -> None:
    for name in ("refine", "time_limit"):
        value = getattr(request, name)
        if value is not None and not value > 0.0:
            raise OptionError(f"--{name.replace('_', '-')} {value:g}: it must be a positive number.")


def _guess(request: CompareRequest, problem: OptimalControlProblem, known: BuiltInProblem | None) -> Trajectory | None:
    if request.guess == "random":
        return None
    own = known.guess if known is not None and request.guess == "problem" else None
    return line_guess(problem) if own is None else own(problem)


def _report(
    request: CompareRequest,
    problem: OptimalControlProblem,
    known: BuiltInProblem | None,
    cells: Sequence[Cell],
    folder: RunFolder,
) -> Report:
    optimum = None if known is None else known.optimum
    rows, title = [cell.row(optimum) for cell in cells], f"{problem.name} compared"
    folder.write_config("compare", asdict(request))
    learned = isinstance(problem.dynamics, TransitionModel)
    files = {"table": write_markdown(folder.path / "compare.md", title, rows, learned)}
    if request.plots:
        pictures = draw_comparison(folder.path, cells, optimum)
        footer = f"Made by `trajopt-sgp compare {request.problem}` with seed {request.seed}."
        files["report"] = write_html(folder.path / "report.html", title, rows, pictures, footer, learned)
        files |= {"comparison": pictures["comparison"]} if pictures else {}
    document = {
        "problem": request.problem,
        "name": problem.name,
        "optimum": optimum,
        "source": None if known is None else known.source,
        "refine": request.refine,
        "plant": request.plant,
        "seed": request.seed,
        "rows": rows,
    }
    files["document"] = folder.write_json("compare.json", document)
    succeeded = any(cell.solution is not None and cell.solution.success for cell in cells)
    blocks = [*_blocks(title, rows, optimum), meaning(rows, learned), *(f"Wrote {path}" for path in files.values())]
    return Report({**document, "files": files}, blocks, exit_code=int(not succeeded))


def _blocks(title: str, rows: Sequence[Mapping[str, Any]], optimum: float | None) -> list[Block]:
    refused = [row for row in rows if row["status"] == "does not apply"]
    solved = [row for row in rows if row not in refused]
    blocks: list[Block] = [*_tables(title, solved)]
    blocks += [f"{row['formulation']} with {row['solver']} does not apply: {row['reason']}" for row in refused]
    blocks.append(headline(rows))
    if optimum is not None:
        blocks.append(f"Known optimum: {optimum:.8g}.")
    return blocks


def _tables(title: str, rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return one table, or on a narrow terminal several, their rows numbered alike."""
    if not rows:
        return []
    columns = shown_columns(rows)
    if Console().width >= _WIDE:
        return [_table(title, rows, columns)]
    parts = {part: {key: columns[key] for key in keys if key in columns} for part, keys in _PARTS.items()}
    return [_table(f"{title}: {part}", rows, chosen) for part, chosen in parts.items() if chosen]


def _table(title: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("#", justify="right")
    for key, column in columns.items():
        words = key in ("formulation", "solver", "status")
        table.add_column(header(key, column), justify="left" if words else "right", overflow="fold")
    for number, row in enumerate(rows, start=1):
        table.add_row(str(number), *table_cells(row, columns))
    return table
