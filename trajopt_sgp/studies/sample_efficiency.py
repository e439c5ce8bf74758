"""Study: how many transitions, and how many seconds, a swing-up takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.cart_pole.cells import FULL, REDUCED, Extent, model_cells, plan_cell
from trajopt_sgp.studies.cart_pole.figures import plot_success
from trajopt_sgp.studies.cart_pole.methods import METHODS
from trajopt_sgp.studies.cart_pole.page import rate, success_table
from trajopt_sgp.studies.cart_pole.table import Pooled, pool
from trajopt_sgp.studies.runner import CellRecord, StudyCell
from trajopt_sgp.studies.statistics import percent
from trajopt_sgp.studies.study import Study
from trajopt_sgp.viz.rate_plots import MARKERS, draw_rates, share_axis
from trajopt_sgp.viz.style import INK, PALETTE, add_heading, key_line, key_marker, legend_below, new_figure, styled

AIM = 0.8
"""Success rate whose smallest dataset is asked for."""

_METHODS = ("unguided-shooting", "sgp-shooting", "exact-shooting")
_SIZES = (200, 500, 1_000, 2_000, 5_000, 10_000)
_SEEDS = (0, 1, 2, 3, 4)
_EFFORT_FACTORS = (0.04, 0.1, 0.3, 3.0)
_IN_TIME = 0.98
"""Share of the time limit below which no cell can have been cut off."""
_APART = 1.4
"""Factor between the places of entries that were."""

_SETTING = """Methods with their default settings, which were chosen on 10,000 transitions, from 32 random guesses; a
plan succeeds when its true terminal cost is below 0.1."""

_EXTENT = replace(FULL, sizes=dict.fromkeys(_SIZES, _SEEDS), methods=_METHODS)
_SMALL = replace(REDUCED, methods=_METHODS)


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return models and plans of every size, and plans of the largest with fewer and more iterations."""
    extent = _SMALL if reduced else _EXTENT
    models = model_cells(extent, extent.places)
    plans = [plan_cell(name, *place, extent, models, {}) for place in extent.places for name in extent.methods]
    return [*models.values(), *plans, *_effort_cells(extent, models)]


def _effort_cells(extent: Extent, models: Mapping[tuple[str, int, int], StudyCell]) -> list[StudyCell]:
    largest = max(extent.sizes)
    return [
        plan_cell(name, largest, seed, extent, models, {}, {"iterations": factor})
        for factor in _EFFORT_FACTORS
        for seed in extent.sizes[largest]
        for name in extent.methods
    ]


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    pooled = pool(records)
    table = [entry for entry in pooled if not entry.varied]
    parts = [_SETTING, success_table(table), _smallest(table), _seconds(_efforts(pooled))]
    return "\n\n".join(part for part in parts if part)


def _smallest(table: Sequence[Pooled]) -> str:
    rows = []
    for name in dict.fromkeys(entry.method for entry in table):
        reached = [entry for entry in table if entry.method == name and entry.success.value >= AIM]
        sure = [entry for entry in reached if entry.success.low >= AIM]
        rows.append([name, *(_least(entries) for entries in (reached, sure))])
    columns = ["method", f"rate at least {percent(AIM)}", "the whole interval above"]
    return f"## Smallest dataset\n\n{markdown_table(columns, rows)}" if rows else ""


def _least(entries: Sequence[Pooled]) -> str:
    return f"{min(entry.size for entry in entries):,}" if entries else "none"


def _efforts(pooled: Sequence[Pooled]) -> list[Pooled]:
    """Return the entries of the largest dataset, whatever the number of iterations, fewest first."""
    largest = max((entry.size for entry in pooled if entry.varied == "iterations"), default=0)
    chosen = [entry for entry in pooled if entry.size == largest and entry.varied in ("", "iterations")]
    return sorted(chosen, key=lambda entry: (entry.method, entry.factor))


def _seconds(efforts: Sequence[Pooled]) -> str:
    rows = [[entry.method, f"{_iterations(entry):.0f}", f"{entry.seconds:.2g}", rate(entry)] for entry in efforts]
    text = "Iterations of gradient descent, and the seconds that all 32 plans of a cell took together."
    columns = ["method", "iterations", "seconds", "success"]
    return f"## Success against seconds\n\n{text}\n\n{markdown_table(columns, rows)}" if rows else ""


def _iterations(entry: Pooled) -> float:
    return entry.factor * float(METHODS[entry.method].defaults["iterations"])


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return success over transitions, and over seconds."""
    pooled = pool(records)
    table, efforts = [entry for entry in pooled if not entry.varied], _efforts(pooled)
    figures = {"transitions": plot_success(table)} if table else {}
    return {**figures, "seconds": plot_seconds(efforts)} if efforts else figures


@styled
def plot_seconds(efforts: Sequence[Pooled]) -> Figure:
    """Draw the success rate over the seconds of planning, one line for each method.

    Entries whose time ran out stand beside each other at the limit, hollow, with their number of iterations.
    """
    figure = new_figure(7.6, 4.6)
    axes = figure.subplots()
    names = dict.fromkeys(entry.method for entry in efforts)
    for name, colour, marker in zip(names, PALETTE, MARKERS, strict=False):
        own = sorted((entry for entry in efforts if entry.method == name), key=lambda entry: entry.factor)
        ended = [entry for entry in own if entry.seconds < _IN_TIME * _EXTENT.seconds]
        _draw_efforts(axes, ended, [entry.seconds for entry in ended], colour, marker)
        cut = own[len(ended) :]
        places = [entry.seconds * _APART**k for k, entry in enumerate(cut)]
        _draw_efforts(axes, cut, places, colour, marker, linestyle="", markerfacecolor="white")
        _name_iterations(axes, cut, places)
    axes.axvline(_EXTENT.seconds, color=INK, linestyle=":", linewidth=1.0, zorder=0.5)
    axes.set(xscale="log", xlabel="seconds for all plans")
    share_axis(axes)
    legend_below(figure, _key(names), 3)
    add_heading(figure, f"Swing-up from {max(entry.size for entry in efforts):,} transitions, 95 % intervals")
    return figure


def _draw_efforts(
    axes: Axes, entries: Sequence[Pooled], places: Sequence[float], colour: str, marker: str, **style: str
) -> None:
    if entries:
        draw_rates(axes, places, [entry.success for entry in entries], colour, marker=marker, **style)


def _name_iterations(axes: Axes, entries: Sequence[Pooled], places: Sequence[float]) -> None:
    for entry, place in zip(entries, places, strict=True):
        where = (place, entry.success.low), (4.0, 0.0)
        axes.annotate(f"{_iterations(entry):.0f}", *where, textcoords="offset points", fontsize=9.0)


def _key(names: Iterable[str]) -> list[Line2D]:
    methods = [key_marker(name, mark, colour) for name, mark, colour in zip(names, MARKERS, PALETTE, strict=False)]
    limit = f"time limit of {_EXTENT.seconds:.0f} s"
    cut = key_marker("out of time, with its iterations", "o", "white", INK)
    return [*methods, key_line(limit, INK, ":", 1.0), cut]


STUDY = Study(
    name="sample-efficiency",
    title="Transitions and seconds for a swing-up",
    question="How does success depend on the number of transitions and on the time spent on planning?",
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
