"""The page of results of the toys, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def toys_page(results: Mapping[str, Any]) -> str:
    """Return the page for results of the study."""
    parts = [
        "# Toy systems: results",
        "Written by `python -m trajopt_sgp.studies.toys`; do not edit it. What each picture shows is told in "
        "[toy systems](../../toy-systems.md). β counts with weighting σ² and the σ beside it. A path is inside only if "
        "no point of any of its segments is outside, judged on the true system.",
        "## Circle",
        _circle_table(results["circle"]),
        "![circle](circle.png)",
    ]
    for name, found in results["worlds"].items():
        data = found["data"]
        parts += [
            f"## {name.capitalize()}",
            f"{data['draws']:,} draws, {data['kept'] / data['draws']:.1%} kept.",
            _planner_table(found["rows"]),
            f"![paths]({name}-paths.png)",
            f"![paths of Ipopt]({name}-ipopt.png)",
            "Lengths that uncertainties read, in normalised coordinates; calibrated where the model is.",
            reading_table(found["readings"]),
            f"![field]({name}-field.png)",
        ]
    return "\n\n".join(parts) + "\n"


def reading_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of what uncertainties read in some places."""
    names = list(rows[0]["readings"])
    cells = [[row["place"], f"{row['sigma']:g}", *(f"{row['readings'][name]:.3f}" for name in names)] for row in rows]
    truth = [f"{row['nearest data point']:.3f}" for row in rows]
    return _table(
        ["place", "σ", "nearest data point", *names],
        [[place, sigma, near, *rest] for (place, sigma, *rest), near in zip(cells, truth, strict=True)],
    )


def _planner_table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [
        "planner",
        "β",
        "σ",
        "δ at σ",
        "inside",
        "knots outside",
        "segments outside",
        "goal missed, max",
        "status",
        "s / plan",
    ]
    return _table(columns, [_planner_cells(row) for row in rows])


def _planner_cells(row: Mapping[str, Any]) -> list[str]:
    sigmas, bound = row["sigma_schedule"], row["constraint"]
    return [
        row["name"],
        f"{row['beta']:g}",
        "–" if sigmas is None else f"{sigmas[0]:g} → {sigmas[1]:g}",
        "–" if bound is None else f"{bound[0]:g} at {bound[1]:g}",
        f"{row['inside_rate']:.1%} of {row['paths']}",
        f"{row['knots_outside']:.2%}",
        f"{row['segments_outside']:.2%}",
        f"{row['goal_missed_max']:.3f}",
        ", ".join(f"{label} {count}" for label, count in row["status"].items()),
        f"{row['seconds_per_plan']:.2f}",
    ]


def _circle_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [name, f"{row['off_start_median']:.3f}", f"{row['off_median']:.4f}", f"{row['off_max']:.4f}"]
        for name, row in found.items()
    ]
    return _table(["field", "median distance at the start [radii]", "median after 100 steps", "largest"], rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])
