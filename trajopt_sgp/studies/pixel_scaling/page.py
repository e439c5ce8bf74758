"""The page and the figures of the study."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.studies.pixel_scaling.cells import CHANNELS, HORIZON, WIDE
from trajopt_sgp.studies.pixels.film import draw_film
from trajopt_sgp.studies.pixels.planning import DEEP, NEAR
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import markdown_table, success_rate
from trajopt_sgp.viz.style import PALETTE, add_heading, new_figure, styled

_SETTING = """An iteration of guided shooting rolls the dynamics out, differentiates them, and asks both scores for the
gradient of the distance, and once more for their value at the end of the schedule. It is timed with networks that have
not been trained, which do the same work: the difference of descents of two iterations and of one, the least of five, in
process time of one core. Memory is the peak of the process during them, above what it used before."""


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
    cards = [record.result for record in records if record.function == "train_wide"]
    lines = [
        [kind, f"{card[kind]['parameters']:,}", f"{card[kind]['seconds']:.0f}", f"{card[kind]['validation_loss']:.4f}"]
        for card in cards
        for kind in ("dynamics", "score", "coarse")
    ]
    columns = ("network, 64 by 64", "parameters", "s on one core of a shared machine", "validation loss")
    return [markdown_table(columns, lines)] if lines else []


def _plans(records: Sequence[CellRecord]) -> list[str]:
    results = [record.result for record in records if record.function == "plan_wide"]
    if not results:
        return []
    wins = sum(one["goal_distance"] <= NEAR and one["hole_depth"] <= DEEP for one in results)
    rate = success_rate(wins, len(results))
    names = ("goal_distance", "hole_depth", "disc_distance", "planning_seconds")
    middle = [float(np.median([one[name] for one in results])) for name in names]
    apart = float(np.median([abs(one["predicted_cost"] / one["true_cost"] - 1.0) for one in results]))
    numbers = f"{middle[0]:.3f}", f"{middle[1]:.3f}", f"{apart:.1%}", f"{middle[2]:.1%}", f"{middle[3]:.0f}"
    line = [str(len(results)), f"{wins} ({rate.low:.0%} to {rate.high:.0%})", *numbers]
    columns = ("pairs", "success", "from the goal", "into the hole", "costs differ by", "from discs", "s")
    return [
        f"## Plans of {HORIZON * WIDE**2:,} variables",
        "The guided planner from the straight line, judged as on [the page of 32 by 32 pixels](../pixels/index.md); "
        f"medians over pairs.\n\n{markdown_table(columns, [line])}",
    ]


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return time and memory by size, and a film strip of a wide plan."""
    figures = {"time-and-memory": plot_growth(records)} if _timings(records) else {}
    films = [record for record in records if record.function == "plan_wide" and record.result["film"]]
    return {**figures, **({"film": _draw(films[0])} if films else {})}


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
                panels[row, 0].loglog(*_curve(by_pixels, _pixels, name), "o-", color=PALETTE[place], label=label)
        long = sorted((r for r in _of(records, "standard") if r.settings["resolution"] == 32), key=_steps)
        if long:
            panels[row, 1].loglog(*_curve(long, _steps, name), "o-", color=PALETTE[1])
        panels[row, 0].set_ylabel(unit)
    panels[1, 0].set_xlabel(f"pixels of a picture, {HORIZON} steps")
    panels[1, 1].set_xlabel("steps, 32 by 32 pixels")
    panels[0, 0].legend()
    add_heading(figure, "What an iteration of guided shooting takes")
    return figure


def _draw(record: CellRecord) -> Figure:
    title = f"64 by 64 pixels: ends {record.result['goal_distance']:.2f} from the goal"
    return draw_film(PixelWorld(resolution=WIDE), record.result, title)


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
