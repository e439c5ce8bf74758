"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from trajopt_sgp.envs import find_world
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate
from trajopt_sgp.studies.toys.compact import unpack_array
from trajopt_sgp.studies.toys.settings import TOYS
from trajopt_sgp.viz.path_plots import Paths, plot_paths
from trajopt_sgp.viz.score_field_plots import ScoreField, draw_score_fields

Results = Mapping[str, Mapping[str, Any]]
"""What cells returned, by label."""

_SETTING = """What each picture shows is told in [toy systems](../../toy-systems.md). β counts with the weighting σ² and
the σ beside it, in normalised coordinates. A path is inside only if no point of any of its segments is outside, judged
in the true world; "deepest" is how far any of them gets outside. "Farthest from data" is the largest distance of a knot
(x, u) of any path to its nearest data point, in normalised coordinates; it is not zero within the data, which are
single points."""


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    results = {record.label: record.result for record in records}
    parts = [_SETTING]
    if "circle" in results:
        parts += ["## Circle", _landing_table(results["circle"]["landings"])]
    for world, toy in TOYS.items():
        rows = {name: results[f"{world} {name}"] for name in toy.plan.planners() if f"{world} {name}" in results}
        if rows:
            parts += [f"## {world.capitalize()}", _planner_table(rows)]
        if f"{world} readings" in results:
            parts += [_READINGS, reading_table(results[f"{world} readings"]["rows"])]
    return "\n\n".join(parts)


_READINGS = "Lengths that uncertainties read with u = 0, in normalised coordinates; calibrated where the model is:"


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return the pictures: fields of arrows, paths by shooting, paths by transcription."""
    results = {record.label: record.result for record in records}
    figures = {}
    if "circle" in results:
        figures["circle"] = _fields(results["circle"], "Circle: the step towards the data")
    for world, toy in TOYS.items():
        if f"{world} models" in results:
            title = f"{world.capitalize()}: the step towards the data, u = 0"
            figures[f"{world}-field"] = _fields(results[f"{world} models"], title)
        names = [name for name in toy.plan.planners() if f"{world} {name}" in results]
        for solver in ("shooting", "Ipopt"):
            if chosen := [name for name in names if name.endswith(solver)]:
                figures[f"{world}-{solver.lower()}"] = _paths(world, {n: results[f"{world} {n}"] for n in chosen})
    return figures


def reading_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of what uncertainties read in some places."""
    names = list(rows[0]["readings"])
    cells = [
        [
            row["place"],
            f"{row['sigma']:g}",
            f"{row['nearest_data_point']:.3f}",
            *(f"{row['readings'][name]:.3f}" for name in names),
        ]
        for row in rows
    ]
    return markdown_table(["place", "σ", "nearest data point", *names], cells)


def _planner_table(rows: Results) -> str:
    columns = ["planner", "β", "σ", "bound", "inside", "knots outside", "segments outside", "deepest"]
    cells = [[name, *_planner_cells(row)] for name, row in rows.items()]
    return markdown_table([*columns, "farthest from data", "goal missed by at most", "status", "s / plan"], cells)


def _planner_cells(row: Mapping[str, Any]) -> list[str]:
    settings = row["settings"]
    sigmas, bound = settings["sigma_schedule"], settings["bound"]
    return [
        f"{settings['beta']:g}",
        "–" if sigmas is None else f"{sigmas[0]:g} → {sigmas[1]:g}",
        "–" if bound is None else f"{bound[0]:g} at σ = {bound[1]:g}",
        success_rate(row["paths_inside"], row["paths_made"]).text(lambda share: f"{share:.1%}"),
        f"{row['knots_outside']:.2%}",
        f"{row['segments_outside']:.2%}",
        f"{row['deepest_outside']:.3f}",
        f"{row['farthest_from_data']:.3f}",
        f"{row['goal_missed_max']:.3f}",
        ", ".join(f"{label} {count}" for label, count in row["status"].items()),
        f"{row['seconds_per_plan']:.2f}",
    ]


def _landing_table(found: Results) -> str:
    rows = [
        [name, *(f"{row[key]:.4f}" for key in ("off_start_median", "off_median", "off_max"))]
        for name, row in found.items()
    ]
    return markdown_table(["field", "off the circle at the start, median [radii]", "at the end", "largest"], rows)


def _paths(world: str, found: Results) -> Figure:
    panels, goals = [], None
    for name, row in found.items():
        share = f"{row['paths_inside']} of {row['paths_made']} paths stay in the data"
        panels.append(Paths(name, unpack_array(row["paths"]), f"{share}; {row['knots_outside']:.1%} of knots outside"))
        goals = unpack_array(row["goals"])
    title = f"{world.capitalize()}: true paths under the plans, red outside the data"
    return plot_paths(find_world(world), panels, goals, title)


def _fields(found: Mapping[str, Any], title: str) -> Figure:
    fields = [
        ScoreField(
            entry["label"], entry["sigma"], *(unpack_array(entry[name]) for name in ("points", "steps", "lengths"))
        )
        for entry in found["fields"]
    ]
    labels = list(dict.fromkeys(field.label for field in fields))
    rows = [[field for field in fields if field.label == label] for label in labels]
    return draw_score_fields(rows, unpack_array(found["data"]), title)
