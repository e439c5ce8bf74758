"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.planar_pusher.cells import PLANNERS
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate
from trajopt_sgp.viz.pusher_plots import plot_pushes

Records = Sequence[CellRecord]


def write_page(records: Records) -> str:
    """Return the body of the page."""
    models = [record for record in records if "error_moving_mm" in record.result]
    parts = ["What each number means is told in [the planar pusher](../../pusher.md)."]
    if models:
        parts += ["## Models", _model_table(models)]
    if len(models) < len(records):
        parts += ["## Goals", _goal_table(records)]
    return "\n\n".join(parts)


def draw_figures(records: Records) -> Mapping[str, Figure]:
    """Return the first episode of every planner."""
    paths = {}
    for planner in PLANNERS:
        shown = _of(records, planner.name)
        if shown:
            paths[planner.name] = (np.array(shown[0].result["path"]), np.array(shown[0].result["goal"]))
    return {"episodes": plot_pushes(paths, "The first goal of every planner, from above")} if paths else {}


def _of(records: Records, name: str) -> list[CellRecord]:
    return [record for record in records if record.label.split(": goals ")[0] == name]


def _model_table(models: Records) -> str:
    columns = ["models", "error where the box moves [mm]", "where it rests [mm]", "training [s]"]
    rows = [
        [record.label, *(f"{record.result[key]:.2f}" for key in ("error_moving_mm", "error_resting_mm")),
         f"{record.result['seconds']:.0f}"]
        for record in models
    ]  # fmt: skip
    return markdown_table(columns, rows)


def _goal_table(records: Records) -> str:
    columns = [
        "planner",
        "reached",
        "share",
        "within 20 mm",
        "of those the analytic model reaches",
        "median actions",
        "step [ms]",
    ]
    truth = _outcomes(records, PLANNERS[0].name)
    rows = [_row(planner.name, _of(records, planner.name), truth) for planner in PLANNERS]
    return markdown_table(columns, [row for row in rows if row])


def _row(name: str, cells: Records, truth: Mapping[tuple[int, int], bool]) -> list[str]:
    if not cells:
        return []
    own = _outcomes(cells, name)
    count, total = sum(own.values()), len(own)
    share = success_rate(count, total)
    near = sum(error <= 20.0 for cell in cells for error in cell.result["least_error_mm"])
    shared = [own[key] for key in own if truth.get(key, False)]
    after = [a for cell in cells for a in cell.result["after"] if a > 0]
    return [
        name,
        f"{count} of {total}",
        f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]",
        f"{100 * near / total:.0f} %",
        f"{sum(shared)} of {len(shared)}" if shared else "–",
        f"{np.median(after):.0f}" if after else "–",
        f"{np.median([cell.result['step_ms_p50'] for cell in cells]):.0f}",
    ]


def _outcomes(records: Records, name: str) -> dict[tuple[int, int], bool]:
    """Return whether each goal was reached, by group and number in it."""
    cells: list[tuple[Any, Any]] = [(cell.settings["group"], cell.result["reached"]) for cell in _of(records, name)]
    return {(group, i): bool(value) for group, reached in cells for i, value in enumerate(reached)}
