"""The table of a comparison as Markdown, and its figures and report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trajopt_sgp.files import write_atomically
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.compare import Cell
from trajopt_sgp.viz import Column, Picture, Section, Table, plot_comparison, plot_solution, save_figure, write_report
from trajopt_sgp.viz.report import format_cell

COLUMNS: Mapping[str, Column] = {
    "formulation": Column(),
    "solver": Column(),
    "status": Column(),
    "cost": Column(spec=".6g"),
    "relative_error": Column("cost error", "relative", ".2g"),
    "defect": Column("largest defect", spec=".2g"),
    "resimulated_gap": Column("resimulated final gap", spec=".2g"),
    "resimulated_cost": Column("resimulated cost", spec=".6g"),
    "plant_gap": Column("final gap of the plant", spec=".2g"),
    "plant_cost": Column("cost of the plant", spec=".6g"),
    "mesh_error": Column(spec=".2g"),
    "kkt_residual": Column("KKT residual", spec=".2g"),
    "intervals": Column(),
    "variables": Column(),
    "iterations": Column(),
    "build_seconds": Column("build", "s", ".2f"),
    "derivatives_seconds": Column("derivatives", "s", ".2f"),
    "solver_seconds": Column("solver", "s", ".2f"),
    "warm_up_seconds": Column("warm-up", "s", ".2f"),
}
"""Columns of the table, in order."""

_MEANING = (
    "The cost is that of the transcription. Resimulated numbers come from an accurate integration of the problem's "
    "dynamics under the planned controls: the largest difference of the last state, and the cost along the states that "
    "are reached.{} The mesh error is the largest difference between the plan and an accurate integration over one "
    "interval. Gaps and mesh errors count in the units of the states; the KKT residual is relative to the largest "
    "multiplier. The warm-up is a first solve, ended at once, which loads what is compiled; the other times do not "
    "contain it."
)
_OF_A_PLANT = " Those of the plant come from its own steps under the planned controls."
_OF_A_MODEL = (
    " These dynamics are a learned model: the numbers tell how well the problem is solved, not what the plant would "
    "do, which --plant FILE.py:FUNCTION shows."
)


def meaning(rows: Sequence[Mapping[str, Any]], learned: bool = False) -> str:
    """Return what the numbers of the table mean, for its reader; `learned` says whether the dynamics are a model."""
    in_plant = any("plant_cost" in row for row in rows)
    return _MEANING.format(_OF_A_PLANT if in_plant else _OF_A_MODEL if learned else "")


def shown_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """Return the columns in which any row has a number or word."""
    return {key: column for key, column in COLUMNS.items() if any(row.get(key) is not None for row in rows)}


def table_cells(row: Mapping[str, Any], columns: Mapping[str, Column]) -> list[str]:
    """Return the cells of a row as texts; a pair that does not apply says why in place of its status."""
    cells = [format_cell(row.get(key), column) for key, column in columns.items()]
    place = list(columns).index("status") if "status" in columns else None
    if place is not None and row["status"] == "does not apply":
        cells[place] = f"does not apply: {row['reason']}"
    return cells


def header(key: str, column: Column) -> str:
    """Return the text above a column, its unit in brackets."""
    name = column.header or key.replace("_", " ")
    return f"{name} [{column.unit}]" if column.unit else name


def markdown_page(title: str, rows: Sequence[Mapping[str, Any]], learned: bool = False) -> str:
    """Return a page in Markdown: a title, what the numbers mean, and the table."""
    columns = shown_columns(rows)
    headers = [header(key, column) for key, column in columns.items()]
    table = markdown_table(headers, [table_cells(row, columns) for row in rows])
    return f"# {title}\n\n{meaning(rows, learned)}\n\n{table}\n"


def write_markdown(path: Path, title: str, rows: Sequence[Mapping[str, Any]], learned: bool = False) -> Path:
    """Write the table whole or not at all and return its path."""
    write_atomically(path, markdown_page(title, rows, learned).encode())
    return path


def draw_comparison(folder: Path, cells: Sequence[Cell], optimum: float | None) -> dict[str, Path]:
    """Draw comparison.png and a picture of every solution; return their paths by name.

    Nothing is drawn where no pair applies.
    """
    solved = {cell.label: cell.solution for cell in cells if cell.solution is not None}
    if not solved:
        return {}
    pictures = {"comparison": save_figure(plot_comparison(solved, optimum), folder / "comparison.png")}
    for number, (label, solution) in enumerate(solved.items(), start=1):
        figure = plot_solution(
            solution, title=f"{label}: {solution.status.label.replace('_', ' ')}, cost {solution.cost:.5g}"
        )
        pictures[label] = save_figure(figure, folder / f"solution_{number:02d}.png")
    return pictures


def write_html(
    path: Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, Path],
    footer: str,
    learned: bool = False,
) -> Path:
    """Write the report, pictures inside, and return its path."""
    columns = shown_columns(rows)
    shown = [dict(zip(columns, table_cells(row, columns), strict=True)) for row in rows]
    plain = [row if row["status"] != "does not apply" else texts for row, texts in zip(rows, shown, strict=True)]
    table = Table([{**row, "status": texts["status"]} for row, texts in zip(plain, shown, strict=True)], columns)
    sections = [Section("Table", meaning(rows, learned), table)]
    if "comparison" in pictures:
        caption = "All plans on top of each other; below, what each is worth. Hollow points are no success."
        sections.append(Section("Comparison", images=[Picture(pictures["comparison"], caption)]))
    single = [Picture(path, label) for label, path in pictures.items() if label != "comparison"]
    if single:
        sections.append(Section("Every solution", "Dots are knots; dotted lines are bounds.", images=single))
    return write_report(path, title, sections, headline(rows), footer=footer)


def headline(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the result in a sentence: how many pairs succeeded, and which was the fastest."""
    good = [row for row in rows if row["status"] in ("solved", "acceptable", "converged")]
    start = f"{len(good)} of {len(rows)} pairs ended in success."
    if not good:
        return start
    best = min(good, key=lambda row: row["total_seconds"])
    return f"{start} The fastest was {best['formulation']} with {best['solver']}: {best['total_seconds']:.2f} s."
