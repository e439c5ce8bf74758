"""The page and the figures of the study."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.markdown import markdown_table
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
from trajopt_sgp.studies.pixel_scaling.plans import FILMED
from trajopt_sgp.studies.pixels.film import draw_film
from trajopt_sgp.studies.pixels.page import succeeded
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate
from trajopt_sgp.viz.style import FAINT, INK, PALETTE, add_heading, new_figure, styled

_SETTING = """An iteration of guided shooting rolls the dynamics out, differentiates them, and asks both scores for the
gradient of the distance, and once more for their value at the end of the schedule. It is timed with networks that have
not been trained, which do the same work: the difference of descents of two iterations and of one, the least of five, in
process time of one core. Memory is the peak of the process during them, above what it used before."""

_KINDS = ("dynamics", "score", "coarse")

_PLANS = """Every planner sets out from the straight line and is judged as on
[the page of 32 by 32 pixels](../pixels/index.md). Weights, noise levels and iterations are those of 32 by 32 pixels and
15 steps, carried over by the size of a pixel and the number of steps alone; nothing was tuned for another size. Score
transcription has no dynamics, and the pictures of states are variables too; its score of transitions is that of 32 by
32 pixels at every size. The ensemble for 64 by 64 pixels was trained for half as many steps as the others, as its
validation loss shows. Planners that sample have as many seconds as a guided plan takes. With 15 steps or more the pairs
are on opposite sides of the hole; those of 5 and 10 steps are as far apart as these steps allow, mostly without the
hole between them. Medians over pairs, process time of one core, and the peak of memory above what the process used
before."""


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    parts = [_SETTING]
    timings = _timings(records)
    if timings:
        columns = ("U-Net", "pixels", "steps", "variables", "s / iteration", "peak memory [MB]")
        parts.append(markdown_table(columns, [_timing_line(record) for record in timings]))
        parts += [text for name in CHANNELS for text in _slope_text(name, records)]
    return "\n\n".join([*parts, *_training(records), *_plans(records)])


def slope(records: Sequence[CellRecord], channels: str) -> float | None:
    """Return the log-log slope of the time of an iteration against the pixels of a picture, if there are two sizes."""
    chosen = [record for record in _of(records, channels) if record.settings["horizon"] == HORIZON]
    if len(chosen) < 2:
        return None
    pixels, seconds = ([f(record) for record in chosen] for f in (_pixels, _seconds))
    return float(np.polyfit(np.log(pixels), np.log(seconds), 1)[0])


def _slope_text(channels: str, records: Sequence[CellRecord]) -> list[str]:
    value = slope(records, channels)
    text = f"With channels {CHANNELS[channels]} the time of an iteration grows with the pixels at a log-log slope of"
    return [] if value is None else [f"{text} {value:.2f}."]


def _timing_line(record: CellRecord) -> list[str]:
    settings, result = record.settings, record.result
    channels = ", ".join(map(str, settings["channels"]))
    numbers = f"{settings['resolution']}²", str(settings["horizon"]), f"{result['variables']:,}"
    memory = result["peak_megabytes"]
    return [channels, *numbers, f"{result['seconds']:.3f}", "–" if memory is None else f"{memory:.0f}"]


def _training(records: Sequence[CellRecord]) -> list[str]:
    cards = [record.result for record in records if record.function == "train_sized"]
    lines = [[f"{card['resolution']}²", kind, *_card(card[kind])] for card in cards for kind in _KINDS]
    ensembles = [record.result for record in records if record.function == "train_sized_ensemble"]
    lines += [[f"{card['resolution']}²", "ensemble", *_card(card)] for card in ensembles]
    columns = ("pixels", "network", "parameters", "s on one core of a shared machine", "validation loss")
    return [markdown_table(columns, lines)] if lines else []


def _card(card: Mapping[str, Any]) -> list[str]:
    return [f"{card['parameters']:,}", f"{card['seconds']:.0f}", f"{card['validation_loss']:.4f}"]


def _plans(records: Sequence[CellRecord]) -> list[str]:
    lines = [
        _plan_line(size, planner, chosen)
        for size in sorted(SIZES)
        for planner in NUMBERS
        if (chosen := plans_of(records, size, planner))
    ]
    columns = (
        "pixels",
        "steps",
        "variables",
        "planner",
        "pairs",
        "success",
        "from the goal",
        "into the hole",
        "true cost",
        "costs differ by",
        "from discs",
        "s",
        "MB",
    )
    return [f"## Plans of every planner\n\n{_PLANS}\n\n{markdown_table(columns, lines)}"] if lines else []


def plans_of(records: Sequence[CellRecord], size: tuple[int, int], planner: str) -> list[CellRecord]:
    """Return the plans of a planner for pictures of so many pixels a side and so many steps."""
    wanted = {"resolution": size[0], "horizon": size[1], "planner": planner}
    plans = [record for record in records if record.function == "plan_sized"]
    return [record for record in plans if all(record.settings[name] == value for name, value in wanted.items())]


def _plan_line(size: tuple[int, int], planner: str, records: Sequence[CellRecord]) -> list[str]:
    results = [record.result for record in records]
    rate = success_rate(sum(map(succeeded, records)), len(records))
    names = ("goal_distance", "hole_depth", "true_cost", "disc_distance", "planning_seconds", "peak_megabytes")
    goal, hole, cost, discs, seconds, memory = (float(np.median([one[name] for one in results])) for name in names)
    apart = float(np.median([abs(one["predicted_cost"] / one["true_cost"] - 1.0) for one in results]))
    return [
        f"{size[0]}²",
        str(size[1]),
        f"{results[0]['variables']:,}",
        planner,
        str(len(results)),
        f"{sum(map(succeeded, records))} ({rate.low:.0%} to {rate.high:.0%})",
        f"{goal:.3f}",
        f"{hole:.3f}",
        f"{cost:.1f}",
        f"{apart:.1%}",
        f"{discs:.1%}",
        f"{seconds:.0f}",
        f"{memory:.0f}",
    ]


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return time and memory by size, success by number of variables, and film strips of guided plans."""
    figures = {"time-and-memory": plot_growth(records)} if _timings(records) else {}
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
    """Draw the share of plans that succeed against the number of variables: by pixels, and by steps."""
    figure = new_figure(9.0, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    by_pixels = sorted(size for size in SIZES if size[1] == HORIZON)
    by_steps = sorted(size for size in SIZES if size[0] == SHIPPED)
    _draw_success(panels[0], records, {size: f"{size[0]}²" for size in by_pixels})
    _draw_success(panels[1], records, {size: str(size[1]) for size in by_steps})
    panels[0].set_xlabel(f"pixels of a picture, {HORIZON} steps")
    panels[1].set_xlabel("steps, 32 by 32 pixels")
    panels[0].set_ylabel("share of plans that succeed")
    panels[0].set_ylim(-0.05, 1.05)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=7, loc="outside right center")
    add_heading(figure, "Plans that succeed, by their size")
    return figure


def _draw_success(axes: Axes, records: Sequence[CellRecord], sizes: Mapping[tuple[int, int], str]) -> None:
    for colour, planner in zip((*PALETTE, FAINT, INK), NUMBERS, strict=True):
        found = [(size, chosen) for size in sizes if (chosen := plans_of(records, size, planner))]
        rates = [np.mean([succeeded(record) for record in chosen]) for _, chosen in found]
        axes.plot([side**2 * steps for (side, steps), _ in found], rates, "o-", color=colour, label=planner)
    variables = {side**2 * steps: name for (side, steps), name in sizes.items()}
    _sizes_on(axes, variables)
    axes.set_xlim(0.8 * min(variables), 1.25 * max(variables))


@styled
def plot_growth(records: Sequence[CellRecord]) -> Figure:
    """Draw seconds of an iteration and peak memory against pixels, and against steps."""
    figure = new_figure(9.0, 5.6)
    panels = figure.subplots(2, 2, sharey="row")
    for row, (name, unit) in enumerate((("seconds", "s / iteration"), ("peak_megabytes", "peak memory [MB]"))):
        for place, channels in enumerate(CHANNELS):
            own = _of(records, channels)
            by_pixels = sorted((r for r in own if r.settings["horizon"] == HORIZON), key=_pixels)
            label = f"channels {', '.join(map(str, CHANNELS[channels]))}"
            if by_pixels:
                panels[row, 0].plot(*_curve(by_pixels, _pixels, name), "o-", color=PALETTE[place], label=label)
        long = sorted((r for r in _of(records, "standard") if r.settings["resolution"] == SHIPPED), key=_steps)
        if long:
            panels[row, 1].plot(*_curve(long, _steps, name), "o-", color=PALETTE[1])
        panels[row, 0].set_ylabel(unit)
        _sizes_on(panels[row, 0], {side**2: f"{side}²" for side in RESOLUTIONS})
        _sizes_on(panels[row, 1], {steps: str(steps) for steps in HORIZONS})
    panels[0, 0].set_yscale("log")
    panels[1, 0].set_xlabel(f"pixels of a picture, {HORIZON} steps")
    panels[1, 1].set_xlabel("steps, 32 by 32 pixels")
    panels[0, 0].legend()
    add_heading(figure, "What an iteration of guided shooting takes")
    return figure


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


def _timings(records: Sequence[CellRecord]) -> list[CellRecord]:
    return [record for record in records if record.function == "measure_iteration"]


def _of(records: Sequence[CellRecord], channels: str) -> list[CellRecord]:
    return [record for record in _timings(records) if tuple(record.settings["channels"]) == CHANNELS[channels]]


def _curve(
    records: Sequence[CellRecord], place: Callable[[CellRecord], float], name: str
) -> tuple[list[float], list[float]]:
    return [place(record) for record in records], [record.result[name] for record in records]


def _pixels(record: CellRecord) -> float:
    return float(record.settings["resolution"] ** 2)


def _steps(record: CellRecord) -> float:
    return float(record.settings["horizon"])


def _seconds(record: CellRecord) -> float:
    return float(record.result["seconds"])
