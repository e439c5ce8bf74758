"""Plots of time against horizon, width, batch and number of decision variables."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rows import Row

PLOTS = {
    "horizon": "Time against horizon",
    "width": "Gradient of a rollout: time against width",
    "batch": "Gradient of a rollout: time against batch size",
    "variables": "Derivatives of one iteration: time against number of decision variables",
}
"""Name of the plot, which is what the rows have on their axis, and its title."""

LABELS = {"horizon": "intervals", "width": "units of a layer", "batch": "batch size", "variables": "decision variables"}

_PRODUCTS, _BOUND = "matrix products alone", ":"


def draw(rows: Sequence[Row], folder: Path) -> dict[str, str]:
    """Draw every plot for which there are rows; return file names without ending, and titles."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for axis, title in PLOTS.items():
        fitting = [row for row in rows if axis in row.plot.split() and axis in row.sizes]
        if not fitting:
            continue
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        _fill(figure.subplots(), axis, fitting)
        figure.suptitle(title, fontsize=11)
        figure.legend(fontsize=8, loc="outside lower center", ncols=2)
        name = f"benchmark_{axis}"
        figure.savefig(folder / f"{name}.png", dpi=130, metadata={"Software": None})
        drawn[name] = title
    return drawn


def _fill(axes: Axes, axis: str, rows: Sequence[Row]) -> None:
    series = _series(axis, rows)
    colors = {key: f"C{i}" for i, key in enumerate(key for key in series if key[1] != _BOUND)}
    for (name, style), points in series.items():
        places = sorted(points)
        bounded = (name.replace(_PRODUCTS, "ours"), "o-")
        color = colors[bounded if style == _BOUND else (name, style)]
        axes.plot(places, [points[x] for x in places], style, color=color, label=name, markersize=4.0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({row.sizes[axis] for row in rows})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel(LABELS[axis])
    axes.set_ylabel("time [ms]")
    axes.grid(True, alpha=0.3)


def _series(axis: str, rows: Sequence[Row]) -> dict[tuple[str, str], dict[float, float]]:
    """Time by size of ours, of each peer, and of the bound; the slowest where several rows share a size."""
    found: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for row in rows:
        size = row.sizes[axis]
        family = row.case.partition(",")[0]
        several = len({r.case.partition(",")[0] for r in rows}) > 1
        suffix = f": {family}" if several else ""
        times = [
            ((f"ours{suffix}", "o-"), row.ours_ms),
            ((f"{row.peer}{suffix}", "s--"), row.peer_ms),
            ((f"{_PRODUCTS}{suffix}", _BOUND), row.bound_ms),
        ]
        for key, time in times:
            if time is not None:
                found[key][size] = max(time, found[key].get(size, 0.0))
    return found
