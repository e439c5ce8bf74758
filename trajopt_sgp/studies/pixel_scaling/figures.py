"""The figures of the study."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.studies.pixel_scaling.cells import (
    CHANNELS,
    HORIZON,
    HORIZONS,
    NUMBERS,
    RESOLUTIONS,
    SHIPPED,
    SIZES,
    WIDE,
)
from trajopt_sgp.studies.pixel_scaling.page import pixels, plans_of, timings_of, timings_with
from trajopt_sgp.studies.pixel_scaling.plans import FILMED
from trajopt_sgp.studies.pixels.film import draw_film
from trajopt_sgp.studies.pixels.page import succeeded
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate
from trajopt_sgp.viz.rate_plots import MARKERS, beside, draw_rates, share_axis
from trajopt_sgp.viz.style import (
    INK,
    PALETTE,
    add_heading,
    key_marker,
    legend_below,
    name_axes,
    new_figure,
    panel_grid,
    plain_log_ticks,
    styled,
)

Size = tuple[int, int]
"""Pixels of a side, and steps."""

_SERIES: Mapping[str, Sequence[Size]] = {
    f"16² to 64² pixels, {HORIZON} steps": sorted(size for size in SIZES if size[1] == HORIZON),
    "32² pixels, 5 to 60 steps": sorted(size for size in SIZES if size[0] == SHIPPED),
}
_NAMED = (3840, 15_360, 61_440)
_FLOOR = {"seconds": 0.0, "peak_megabytes": 1.0}
"""Below it nothing was measured."""


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return time and memory by size, success by number of variables, and film strips of guided plans."""
    figures = {"time-and-memory": plot_growth(records)} if timings_of(records) else {}
    if any(record.function == "plan_sized" for record in records):
        figures["success"] = plot_success(records)
    sizes = (WIDE, HORIZON), (SHIPPED, max(steps for _, steps in SIZES))
    for size, planner in product(sizes, FILMED):
        films = [record for record in plans_of(records, size, planner) if record.result["film"]]
        if films:
            figures[f"film-{size[0]}-{size[1]}-{planner.replace(' ', '-')}"] = _draw(films[0])
    return figures


@styled
def plot_success(records: Sequence[CellRecord]) -> Figure:
    """Draw the share of plans that succeed against the number of variables, a panel for each planner."""
    planners = [name for name in NUMBERS if any(plans_of(records, size, name) for size in SIZES)]
    columns = min(4, len(planners))
    figure = new_figure(2.4 * columns + 0.6, 2.2 * -(-len(planners) // columns) + 1.1)
    panels = panel_grid(figure, len(planners), columns)
    for axes, planner in zip(panels, planners, strict=True):
        for number, (series, marker) in enumerate(zip(_SERIES.values(), MARKERS, strict=False)):
            _draw_success(axes, records, planner, series, number, marker)
        axes.set_title(planner, fontsize=9.5)
        variables = {side**2 * steps for side, steps in SIZES}
        _sizes_on(axes, {count: f"{count / 1000.0:.0f}k" for count in sorted(variables) if count in _NAMED})
        axes.set_xlim(0.8 * min(variables), 1.25 * max(variables))
        share_axis(axes, "")
    name_axes(panels, "variables", "plans that succeed")
    keys = zip(_SERIES, MARKERS, PALETTE, strict=False)
    legend_below(figure, [key_marker(label, marker, colour) for label, marker, colour in keys])
    add_heading(figure, "Plans that succeed, by their size, 95 % intervals")
    return figure


def _draw_success(
    axes: Axes, records: Sequence[CellRecord], planner: str, sizes: Sequence[Size], number: int, marker: str
) -> None:
    found = [(size, chosen) for size in sizes if (chosen := plans_of(records, size, planner))]
    rates = [success_rate(sum(map(succeeded, chosen)), len(chosen)) for _, chosen in found]
    places = beside([side**2 * steps for (side, steps), _ in found], number, len(_SERIES))
    draw_rates(axes, places, rates, PALETTE[number], marker=marker)


@styled
def plot_growth(records: Sequence[CellRecord]) -> Figure:
    """Draw seconds of an iteration and peak memory against pixels, and against steps."""
    figure = new_figure(9.0, 6.1)
    panels = figure.subplots(2, 2, sharey="row")
    for row, (name, unit) in enumerate((("seconds", "s / iteration"), ("peak_megabytes", "peak memory [MB]"))):
        for place, channels in enumerate(CHANNELS):
            own = timings_with(records, channels)
            by_size = sorted((r for r in own if r.settings["horizon"] == HORIZON), key=pixels)
            _draw_growth(panels[row, 0], by_size, pixels, name, place)
        long = sorted((r for r in timings_with(records, "standard") if r.settings["resolution"] == SHIPPED), key=_steps)
        _draw_growth(panels[row, 1], long, _steps, name, 1)
        panels[row, 0].set_ylabel(unit)
        _sizes_on(panels[row, 0], {side**2: f"{side}²" for side in RESOLUTIONS})
        _sizes_on(panels[row, 1], {steps: str(steps) for steps in HORIZONS})
    panels[0, 0].set_yscale("log")
    plain_log_ticks(panels[0, 0].yaxis)
    panels[1, 0].set_xlabel(f"pixels of a picture, {HORIZON} steps")
    panels[1, 1].set_xlabel("steps, 32 by 32 pixels")
    legend_below(figure, _growth_key())
    add_heading(figure, "What iterations of guided shooting take")
    return figure


def _draw_growth(
    axes: Axes, records: Sequence[CellRecord], place: Callable[[CellRecord], float], name: str, number: int
) -> None:
    """Draw a curve; hollow where the measurement has found nothing."""
    places, values = [place(record) for record in records], [record.result[name] for record in records]
    axes.plot(places, values, "-", marker=MARKERS[number], color=PALETTE[number])
    floor = [(x, y) for x, y in zip(places, values, strict=True) if y is not None and y < _FLOOR[name]]
    for point in floor:
        axes.plot(*point, MARKERS[number], color=PALETTE[number], markerfacecolor="white")


def _growth_key() -> list[Line2D]:
    curves = zip(CHANNELS.values(), MARKERS, PALETTE, strict=False)
    return [
        *(key_marker(f"channels {', '.join(map(str, sizes))}", mark, colour) for sizes, mark, colour in curves),
        key_marker("no more than was held before", "o", "white", INK),
    ]


def _sizes_on(axes: Axes, names: Mapping[int, str]) -> None:
    """Make the horizontal axis logarithmic, with these sizes named and no others."""
    axes.set_xscale("log")
    axes.set_xticks(list(names), list(names.values()))
    axes.set_xticks([], minor=True)


def _draw(record: CellRecord) -> Figure:
    side, horizon = record.settings["resolution"], record.settings["horizon"]
    planner, missed = record.settings["planner"], record.result["goal_distance"]
    title = f"{planner}, {side} by {side} pixels, {horizon} steps: ends {missed:.2f} from the goal"
    return draw_film(PixelWorld(resolution=side), record.result, title)


def _steps(record: CellRecord) -> float:
    return float(record.settings["horizon"])
