"""The page of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.pixel_scaling.cells import CHANNELS, HORIZON, NUMBERS, SIZES
from trajopt_sgp.studies.pixels.page import succeeded
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate

_SETTING = """An iteration of guided shooting rolls the dynamics out, differentiates them, and asks both scores for the
gradient of the distance, and once more for their value at the end of the schedule. It is timed with networks that have
not been trained, which do the same work: the difference of descents of two iterations and of one, the least of five, in
process time of one core. Memory is the peak of the process during these ten descents, above what it held before. That
misleads on both sides. 0 MB: the process still held enough from cells before. 1.6 GB at 64 by 64 pixels: the allocator
keeps much of what every descent frees, so that ten in a row take more than one. One descent at that size, in a process
of its own, takes 0.35 to 0.39 GB, after 20 iterations as after one, and repetitions add nothing if what is freed is
given back in between (`malloc_trim`): what a plan needs is the 338 MB of the table of plans."""

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
    timings = timings_of(records)
    if timings:
        columns = ("U-Net", "pixels", "steps", "variables", "s / iteration", "peak memory [MB]")
        parts.append(markdown_table(columns, [_timing_line(record) for record in timings]))
        parts += [text for name in CHANNELS for text in _slope_text(name, records)]
    return "\n\n".join([*parts, *_training(records), *_plans(records)])


def slope(records: Sequence[CellRecord], channels: str) -> float | None:
    """Return the log-log slope of the time of an iteration against the pixels of a picture, if there are two sizes."""
    chosen = [record for record in timings_with(records, channels) if record.settings["horizon"] == HORIZON]
    if len(chosen) < 2:
        return None
    sizes, seconds = ([f(record) for record in chosen] for f in (pixels, _seconds))
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


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


def timings_of(records: Sequence[CellRecord]) -> list[CellRecord]:
    """Return the records of what an iteration takes."""
    return [record for record in records if record.function == "measure_iteration"]


def timings_with(records: Sequence[CellRecord], channels: str) -> list[CellRecord]:
    """Return those with networks of one of the `CHANNELS`."""
    return [record for record in timings_of(records) if tuple(record.settings["channels"]) == CHANNELS[channels]]


def pixels(record: CellRecord) -> float:
    """Return the number of pixels of a picture."""
    return float(record.settings["resolution"] ** 2)


def _seconds(record: CellRecord) -> float:
    return float(record.result["seconds"])
