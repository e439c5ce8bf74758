"""The page and the figures of the study."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.pixels.cells import SECONDS, STARTS
from trajopt_sgp.studies.pixels.film import draw_film
from trajopt_sgp.studies.pixels.planning import DEEP, NEAR
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate
from trajopt_sgp.viz.style import (
    INK,
    PALETTE,
    add_heading,
    key_line,
    key_marker,
    legend_below,
    name_axes,
    new_figure,
    panel_grid,
    set_title,
    styled,
)

_HOLE, _GOOD, _BAD = "0.88", PALETTE[0], PALETTE[5]

Groups = Mapping[str, Sequence[CellRecord]]

_SETTING = f"""A plan is 15 pictures of controls of 32 by 32 pixels, 15,360 variables; the dynamics are the same network
for all planners. Score transcription alone has none, and the pictures of states are variables too: 31,744. A plan
succeeds if the true point under its controls ends within {NEAR} of the goal and enters the hole, between the knots too,
by no more than {DEEP}. Pairs of start and goal are drawn with another seed than those on which settings were chosen.

| planner | uncertainty | search |
|---|---|---|
| guided | scores of pixels and of coarse pictures | gradient descent |
| unguided | none, β = 0 | gradient descent |
| best guess | scores | none: the best of the bent paths |
| score transcription | score of coarse (x, u, x'), no dynamics; score of pixels | descent on states and controls |
| exact distance | score of pixels, exact distance of coarse pictures | gradient descent |
| ensemble gradient | variance of four small U-Nets | gradient descent |
| ensemble CEM | variance of four small U-Nets | CEM on pixels |
| CEM, MPPI | scores | samples of every pixel |
| CEM, MPPI, components | scores | samples of splines in time of principal components of control pictures |
| CEM, MPPI, discs | scores | samples of splines in time of steps, drawn by the true renderer |

Columns: distance of the true point from the goal at the end, and its deepest entry into the hole, at the median and at
worst; cost of the plan as imagined and as true, and by how much they differ; what the distances of the guided planner
add to the cost at the end of their schedules; how far imagined and true positions come apart; distance of the controls
to the nearest rendered disc as a share of its norm, and their norm as a share of that of a disc; plans imagined;
seconds of one core, process time, for the machine was shared. All but the extremes are medians over pairs."""

_STARTS = {
    "bent": """## From the best of 16 bent paths

Each planner imagines the same 16 paths around the straight line, bent at random and drawn as discs, and improves the
one that it finds best. Distances alone, used to choose, already lead around the hole: `best guess` shows what descent
has left to do.""",
    "straight": f"""## From the straight line

The only guess is the straight line, which crosses the hole: what leads around it is the search. Planners that sample
have {SECONDS:.0f} s of one core for a plan.""",
}

_COLUMNS = (
    "planner",
    "pairs",
    "success",
    "from the goal",
    "worst",
    "into the hole",
    "worst",
    "predicted cost",
    "true cost",
    "differ by",
    "distances",
    "imagined wrong by",
    "from discs",
    "norm",
    "plans",
    "s",
)


def succeeded(record: CellRecord) -> bool:
    """Return whether the true point arrives and stays out of the hole."""
    result = record.result
    return bool(result["goal_distance"] <= NEAR and result["hole_depth"] <= DEEP)


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    parts = [_SETTING]
    for start, text in _STARTS.items():
        lines = [_line(planner, chosen) for planner, chosen in _by_planner(records, start).items()]
        if lines:
            parts.append(f"{text}\n\n{markdown_table(_COLUMNS, lines)}")
    return "\n\n".join([*parts, *_searches(records)])


def _line(planner: str, records: Sequence[CellRecord]) -> list[str]:
    results = [record.result for record in records]
    rate = success_rate(sum(map(succeeded, records)), len(records))
    apart = [abs(one["predicted_cost"] / one["true_cost"] - 1.0) for one in results]
    middle = {
        name: float(np.median([one[name] for one in results])) for name in results[0] if _number(results[0][name])
    }
    worst = {name: max(one[name] for one in results) for name in ("goal_distance", "hole_depth")}
    return [
        planner,
        str(len(records)),
        f"{sum(map(succeeded, records))} ({rate.low:.0%} to {rate.high:.0%})",
        *(f"{part[name]:.3f}" for name in ("goal_distance", "hole_depth") for part in (middle, worst)),
        *(f"{middle[name]:.1f}" for name in ("predicted_cost", "true_cost")),
        f"{float(np.median(apart)):.1%}",
        f"{middle['distance_cost']:.1f}",
        f"{middle['imagined_error']:.3f}",
        f"{middle['disc_distance']:.1%}",
        f"{middle['image_norm']:.2f}",
        f"{middle['evaluations']:.0f}",
        f"{middle['planning_seconds']:.0f}",
    ]


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def _searches(records: Sequence[CellRecord]) -> list[str]:
    """Return what was searched for and what training the ensemble gave, where that has been done."""
    parts = []
    ensembles = [record.result for record in records if record.function == "train_ensemble"]
    if ensembles:
        one = ensembles[0]
        parts.append(
            f"The ensemble: {one['settings']['members']} members, {one['parameters']:,} parameters in all, held-out "
            f"error {one['validation_loss']:.3f} of the variance of a step, trained in {one['seconds']:.0f} s."
        )
    tuned = {record.settings["planner"]: record.result for record in records if record.function == "tune"}
    if tuned:
        lines = [[name, str(len(found["trials"])), _chosen(found)] for name, found in tuned.items()]
        parts.append(
            "## Settings\n\nSettings drawn at random were tried from the straight line on a pair that is not judged, "
            "each for a third of the time; those with which the true point fared best were kept. `results.json` has "
            "every trial. The settings of `guided` were found by hand in as many trials, of the whole time, on two "
            "pairs of the same seed: `search-by-hand.json`; those of `score transcription` in twenty, on five or "
            "eight pairs of it: `search-by-hand-transcription.json`."
            f"\n\n{markdown_table(('planner', 'trials', 'chosen'), lines)}"
        )
    return parts


def _chosen(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in found["settings"].items())


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return the paths of the true point for both starts, and a film strip for each planner on the first pair."""
    figures: dict[str, Figure] = {}
    for start in STARTS:
        groups = _by_planner(records, start)
        if groups:
            figures[f"paths-{start}"] = plot_paths(groups, start)
        for planner, chosen in groups.items():
            films = [record for record in chosen if record.result["film"]]
            if films:
                figures[f"film-{start}-{planner.replace(',', '').replace(' ', '-')}"] = _draw(films[0])
    return figures


def _draw(record: CellRecord) -> Figure:
    result, settings = record.result, record.settings
    where = "out of the hole" if result["hole_depth"] == 0.0 else f"{result['hole_depth']:.2f} into the hole"
    ends = f"{result['goal_distance']:.2f} from the goal, {where}"
    return draw_film(PixelWorld(), result, f"{settings['planner']}, {settings['start']}: {ends}")


@styled
def plot_paths(groups: Groups, start: str) -> Figure:
    """Draw the true paths around the hole, a panel for each planner; those that fail are orange."""
    columns = min(4, len(groups))
    figure = new_figure(10.0, 1.1 + 2.9 * math.ceil(len(groups) / columns))
    panels = panel_grid(figure, len(groups), columns)
    turn, hole = np.linspace(0.0, 2.0 * np.pi, 100), PixelWorld().hole
    for axes, (planner, chosen) in zip(panels, groups.items(), strict=True):
        axes.fill(hole * np.cos(turn), hole * np.sin(turn), color=_HOLE)
        for record in chosen:
            path, colour = np.array(record.result["path"]), _GOOD if succeeded(record) else _BAD
            axes.plot(*path.T, "-", color=colour, lw=1.2)
            axes.plot(*path[0], "s", color=colour, ms=3.0)
            axes.plot(*record.result["goal"], "o", color=INK, ms=3.0)
        axes.set_aspect("equal")
        axes.locator_params(nbins=4)
        set_title(axes, f"{planner}\n{sum(map(succeeded, chosen))} of {len(chosen)}")
    name_axes(panels, "x", "y")
    legend_below(figure, _path_key())
    whence = {"bent": "the best of 16 bent paths", "straight": "the straight line"}[start]
    add_heading(figure, f"The true point under planned pictures, from {whence}")
    return figure


def _path_key() -> list[Artist]:
    return [
        key_line("succeeds", _GOOD, width=1.2),
        key_line("fails", _BAD, width=1.2),
        key_marker("start", "s", INK, size=4.0),
        key_marker("goal", "o", INK, size=4.0),
        Patch(color=_HOLE, label="hole in the data"),
    ]


def _by_planner(records: Sequence[CellRecord], start: str) -> dict[str, list[CellRecord]]:
    plans = [record for record in records if record.function == "measure" and record.settings["start"] == start]
    found = {name: [record for record in plans if record.settings["planner"] == name] for name in STARTS[start]}
    return {name: chosen for name, chosen in found.items() if chosen}
