"""The figures of the cart-pole study."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trajopt_sgp.studies.cart_pole.table import Pooled, beta_curve, pool, split_by_limits
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.viz.style import INK, PALETTE, add_heading, legend_above, new_figure, styled

_SHIFT = 1.035


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return the figures for which there are records."""
    told, untold = split_by_limits(records)
    table, unlimited = _table(told), _table(untold)
    curves = {title: curve for title, curve in (("known", _curve(told)), ("unknown", _curve(untold))) if curve}
    figures = {}
    if table:
        figures["success"] = plot_success(table)
    if table and unlimited:
        figures["limits"] = plot_limits(table, unlimited)
    if curves:
        figures["beta"] = plot_betas(curves)
    return figures


def _table(records: Sequence[CellRecord]) -> list[Pooled]:
    return [entry for entry in pool(records) if not entry.varied]


def _curve(records: Sequence[CellRecord]) -> list[Pooled]:
    return sorted((entry for entry in pool(beta_curve(records)) if entry.factor), key=lambda entry: entry.factor)


@styled
def plot_success(table: Sequence[Pooled]) -> Figure:
    """Draw the success rate over the number of transitions, one line with intervals for each method."""
    figure = new_figure(8.6, 5.0)
    axes = figure.subplots()
    names = list(dict.fromkeys(entry.method for entry in table))
    for k, name in enumerate(names):
        entries = sorted((entry for entry in table if entry.method == name), key=lambda entry: entry.size)
        # beside each other, so that intervals do not cover each other
        sizes = [entry.size * _SHIFT ** (k - 0.5 * (len(names) - 1)) for entry in entries]
        style = "-" if k < len(PALETTE) else "--"
        draw_rates(axes, sizes, entries, PALETTE[k % len(PALETTE)], style, name)
    axes.set(xscale="log", xlabel="transitions", ylabel="plans that succeed", ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    add_heading(figure, "Swing-up on the true system, 95 % intervals")
    return figure


@styled
def plot_limits(known: Sequence[Pooled], unknown: Sequence[Pooled]) -> Figure:
    """Draw the success rate of each method where planners know the motor's limits, and where they do not."""
    size = unknown[0].size
    names = [entry.method for entry in unknown]
    figure = new_figure(7.6, 0.38 * len(names) + 1.6)
    axes = figure.subplots()
    groups = (("motor's limits known", known, 0.13), ("unknown", unknown, -0.13))
    for (label, entries, shift), colour in zip(groups, PALETTE, strict=False):
        found = {entry.method: entry.success for entry in entries if entry.size == size}
        rates = [found[name] for name in names if name in found]
        places = [len(names) - 1 - k + shift for k, name in enumerate(names) if name in found]
        sides = [[max(0.0, r.value - r.low) for r in rates], [max(0.0, r.high - r.value) for r in rates]]
        values = [r.value for r in rates]
        axes.errorbar(values, places, xerr=sides, fmt="o", color=colour, label=label, markersize=5.0, capsize=2.0)
    axes.set_yticks(range(len(names)), names[::-1])
    axes.set(xlabel="plans that succeed", xlim=(-0.03, 1.03))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    legend_above(axes)
    add_heading(figure, f"Swing-up from {size:,} transitions, 95 % intervals")
    return figure


@styled
def plot_betas(curves: Mapping[str, Sequence[Pooled]]) -> Figure:
    """Draw success, and the share of knots outside the data, over β: one panel for each of `curves`, by its title."""
    figure = new_figure(5.2 * len(curves) + 1.4, 4.2)
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (title, curve) in zip(panels, curves.items(), strict=True):
        factors = [entry.factor for entry in curve]
        draw_rates(axes, factors, curve, PALETTE[0], "-", "plans that succeed")
        outside = [entry.outside for entry in curve]
        axes.plot(factors, outside, "s--", color=PALETTE[1], label="knots outside, median plan")
        axes.axhline(0.05, color=INK, linewidth=0.8, linestyle=":", label="as unseen data")
        axes.set(xscale="log", xlabel=f"β / tuned β, motor's limits {title}", ylim=(-0.03, 1.03))
    panels[0].set(ylabel="share")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    legend_above(panels[0])
    (method,) = {entry.method for curve in curves.values() for entry in curve}
    add_heading(figure, f"Sensitivity to β, {method}")
    return figure


def draw_rates(
    axes: Any, places: Sequence[float], entries: Sequence[Pooled], colour: str, style: str, label: str
) -> None:
    """Draw success rates with their intervals."""
    rates = [entry.success.value for entry in entries]
    below = [entry.success.value - entry.success.low for entry in entries]
    above = [entry.success.high - entry.success.value for entry in entries]
    bars = [[max(0.0, length) for length in side] for side in (below, above)]
    axes.errorbar(places, rates, bars, fmt=f"o{style}", color=colour, label=label, markersize=4.0, capsize=2.0)
