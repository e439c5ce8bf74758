"""The page and the figure of the study."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from trajopt_sgp.studies.pixels.cells import PLANNERS
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import markdown_table, success_rate
from trajopt_sgp.viz.style import INK, PALETTE, add_heading, new_figure, set_title, styled

NEAR, DEEP = 0.1, 0.02
"""Of the goal, and into the hole, within which a plan succeeds."""
HOLE = 0.4
"""Radius of the hole in the data of the standard world."""

_SETTING = """A plan is 15 pictures of controls of 32 by 32 pixels, 15,360 variables. Each planner imagines the same 16
paths, bent at random, and improves the two of least cost. `guided` counts the distances to data, `unguided` does not;
`best guess` is what `guided` sets out from. A plan succeeds if the true point under its controls ends within 0.1 of the
goal and enters the hole, between the knots too, by no more than 0.02. `from discs` is the median distance of the
controls to the nearest rendered disc, as a share of its norm."""


def succeeded(record: CellRecord) -> bool:
    """Return whether the true point arrives and stays out of the hole."""
    result = record.result
    return bool(result["goal_distance"] <= NEAR and result["hole_depth"] <= DEEP)


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    lines = [_line(planner, chosen) for planner, chosen in _by_planner(records).items() if chosen]
    columns = [
        "planner",
        "pairs",
        "success",
        "from the goal",
        "into the hole",
        "predicted / true cost",
        "from discs",
        "s",
    ]
    return f"{_SETTING}\n\nMedians over pairs.\n\n{markdown_table(columns, lines)}"


def _line(planner: str, records: Sequence[CellRecord]) -> list[str]:
    results = [record.result for record in records]
    wins = sum(map(succeeded, records))
    ratio = float(np.median([one["predicted_cost"] / one["true_cost"] for one in results]))
    middle = [float(np.median([one[name] for one in results])) for name in ("goal_distance", "hole_depth")]
    disc = float(np.median([one["disc_distance"] for one in results]))
    seconds = float(np.median([record.cpu_seconds for record in records]))
    rate = success_rate(wins, len(records))
    return [
        planner,
        str(len(records)),
        f"{wins} ({rate.low:.0%} to {rate.high:.0%})",
        *(f"{value:.3f}" for value in middle),
        f"{ratio:.2f}",
        f"{disc:.1%}",
        f"{seconds:.0f}",
    ]


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return the paths of the true point, a panel for each planner."""
    return {"paths": plot_paths(_by_planner(records))}


@styled
def plot_paths(records: Mapping[str, Sequence[CellRecord]]) -> Figure:
    """Draw the true paths around the hole, with a dot at each goal; those that fail are red."""
    figure = new_figure(10.0, 3.9)
    panels = figure.subplots(1, len(records), sharex=True, sharey=True, squeeze=False)[0]
    turn = np.linspace(0.0, 2.0 * np.pi, 100)
    for axes, (planner, chosen) in zip(panels, records.items(), strict=True):
        axes.fill(HOLE * np.cos(turn), HOLE * np.sin(turn), color="0.88")
        for record in chosen:
            path, colour = np.array(record.result["path"]), PALETTE[0] if succeeded(record) else PALETTE[5]
            axes.plot(*path.T, "-", color=colour, lw=1.2)
            axes.plot(*record.result["goal"], "o", color=INK, ms=3.0)
        axes.set_aspect("equal")
        set_title(axes, f"{planner}: {sum(map(succeeded, chosen))} of {len(chosen)}")
    add_heading(figure, "The true point under planned pictures")
    return figure


def _by_planner(records: Sequence[CellRecord]) -> dict[str, list[CellRecord]]:
    return {name: [record for record in records if record.settings["planner"] == name] for name in PLANNERS}
