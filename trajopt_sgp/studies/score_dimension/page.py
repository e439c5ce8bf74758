"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.score_dimension.cells import ESTIMATORS, PLACES, SIGMAS
from trajopt_sgp.studies.score_dimension.truths import FAMILIES
from trajopt_sgp.studies.statistics import Estimate
from trajopt_sgp.viz.style import PALETTE, add_heading, new_figure, set_title, styled

_COLOURS = dict(zip(ESTIMATORS, PALETTE, strict=False))
_WRONG = 0.5
_TABLE_SIGMAS = (0.05, 0.2)

_SETTING = """Data: a mixture of eight normal distributions (spread 0.2), and a two-dimensional torus (a circle where
d = 2) turned at random into d dimensions; every coordinate has a root mean square of about 0.5. The networks have the
default settings of the library: the same width and number of steps for every dimension and size. `exact` is the closed
form over the training sample, which is an estimate too, as the sample is finite. Relative error: root of the summed
squared errors of the gradient of d_σ over that of the summed squares of the true gradient, over 512 queries: data with
noise σ (`noisy`), fresh data themselves (`on the data`), and one unit from them in a random direction (`away`)."""

Row = Mapping[str, Any]


def rows_of(records: Sequence[CellRecord]) -> list[Row]:
    """Return one row for each cell, noise level and place: its settings and its errors."""
    return [{**record.settings, **errors} for record in records for errors in record.result["errors"]]


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    rows = rows_of(records)
    chosen = [
        [row for row in rows if (row["family"], row["sigma"]) == (family, sigma)]
        for family in FAMILIES
        for sigma in _TABLE_SIGMAS
    ]
    parts = [_SETTING, *map(_table, chosen), _seeds(rows), _failures(rows)]
    return "\n\n".join(part for part in parts if part)


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    places = sorted({(row["dimension"], row["size"]) for row in rows if row["seed"] == 0})
    found = {(row["dimension"], row["size"], row["estimator"], row["place"]): row for row in rows if row["seed"] == 0}
    columns = ["d", "N", *(f"{estimator}, {place}" for place in PLACES for estimator in ESTIMATORS)]
    lines = []
    for dimension, size in places:
        cells = [found.get((dimension, size, estimator, place)) for place in PLACES for estimator in ESTIMATORS]
        lines.append([str(dimension), f"{size:,}", *map(_entry, cells)])
    title = f"## {rows[0]['family'].capitalize()}, σ = {rows[0]['sigma']:g}"
    return f"{title}\n\nRelative error with its 95 % interval over queries, seed 0.\n\n{markdown_table(columns, lines)}"


def _entry(row: Row | None) -> str:
    if row is None or row["relative_error"] is None:
        return ""
    return Estimate(row["relative_error"], *row["relative_error_interval"]).text(_short)


def _short(value: float) -> str:
    return f"{value:.3f}" if value < 1.0 else f"{value:.3g}"


def _seeds(rows: Sequence[Row]) -> str:
    """Return how much the seed matters: smallest to largest error over the seeds of the same cell."""
    lines = []
    for family in FAMILIES:
        for estimator in ESTIMATORS:
            for dimension in sorted({row["dimension"] for row in rows if row["seed"] > 0}):
                errors = [
                    row["relative_error"]
                    for row in rows
                    if (row["family"], row["estimator"], row["dimension"]) == (family, estimator, dimension)
                    and (row["size"], row["sigma"], row["place"]) == (10_000, 0.2, "noisy")
                ]
                lines.append([family, estimator, str(dimension), str(len(errors)), _span(errors)])
    columns = ["data", "estimator", "d", "seeds", "relative error, σ = 0.2, noisy, N = 10,000"]
    return f"## Over seeds\n\n{markdown_table(columns, lines)}" if lines else ""


def _span(values: Sequence[float]) -> str:
    return f"{_short(min(values))} to {_short(max(values))}"


def _failures(rows: Sequence[Row]) -> str:
    """Return from which dimension on an estimator is of no use."""
    lines = []
    for family in FAMILIES:
        for estimator in ESTIMATORS:
            for place in PLACES:
                chosen = [
                    row
                    for row in rows
                    if (row["family"], row["estimator"], row["place"]) == (family, estimator, place)
                    and (row["size"], row["seed"]) == (10_000, 0)
                ]
                if chosen:
                    lines.append([family, estimator, place, *(_first_wrong(chosen, sigma) for sigma in SIGMAS)])
    columns = ["data", "estimator", "place", *(f"σ = {sigma:g}" for sigma in SIGMAS)]
    text = f"Dimensions, at 10,000 points, in which the relative error is above {_WRONG:.0%}; empty: none."
    return f"## Where it fails\n\n{text}\n\n{markdown_table(columns, lines)}" if lines else ""


def _first_wrong(rows: Sequence[Row], sigma: float) -> str:
    wrong = [
        row["dimension"]
        for row in rows
        if row["sigma"] == sigma and (row["relative_error"] is None or row["relative_error"] > _WRONG)
    ]
    return ", ".join(map(str, sorted(wrong)))


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return one figure for each place: relative error over dimension, by noise level and estimator."""
    rows = [row for row in rows_of(records) if row["seed"] == 0 and row["relative_error"] is not None]
    largest = max((row["size"] for row in rows if row["size"] <= 10_000), default=0)
    rows = [row for row in rows if row["size"] == largest]
    return {f"error-{place.replace(' ', '-')}": plot_errors(rows, place) for place in PLACES}


@styled
def plot_errors(rows: Sequence[Row], place: str) -> Figure:
    """Draw the relative error over the dimension, a row of panels for each family, a panel for each noise level."""
    figure = new_figure(10.5, 5.6)
    panels = figure.subplots(len(FAMILIES), len(SIGMAS), sharex=True, sharey=True, squeeze=False)
    for family, line in zip(FAMILIES, panels, strict=True):
        for sigma, axes in zip(SIGMAS, line, strict=True):
            chosen = [row for row in rows if (row["family"], row["sigma"], row["place"]) == (family, sigma, place)]
            _draw_panel(axes, chosen)
            set_title(axes, f"{family}, σ = {sigma:g}")
    for axes in panels[-1]:
        axes.set_xlabel("dimension d")
    for line in panels:
        line[0].set_ylabel("relative error")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=len(ESTIMATORS))
    add_heading(figure, f"Error of the gradient of the smoothed distance, {place}")
    return figure


def _draw_panel(axes: Any, rows: Sequence[Row]) -> None:
    for estimator in ESTIMATORS:
        chosen = sorted((row for row in rows if row["estimator"] == estimator), key=lambda row: row["dimension"])
        if not chosen:
            continue
        dimensions = [row["dimension"] for row in chosen]
        lows, highs = zip(*(row["relative_error_interval"] for row in chosen), strict=True)
        axes.fill_between(dimensions, lows, highs, color=_COLOURS[estimator], alpha=0.2, linewidth=0.0)
        errors = [row["relative_error"] for row in chosen]
        axes.plot(dimensions, errors, "o-", color=_COLOURS[estimator], label=estimator, markersize=4.0)
    axes.set(xscale="log", yscale="log")
    ticks = sorted({row["dimension"] for row in rows})[::2]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
