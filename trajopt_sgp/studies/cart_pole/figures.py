"""The figures of the cart-pole study."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trajopt_sgp.studies.cart_pole.table import Pooled, beta_curve, pool, split_by_limits
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.viz.rate_plots import draw_rates, interval_lengths, share_axis
from trajopt_sgp.viz.style import (
    FAINT,
    INK,
    PALETTE,
    add_heading,
    legend_above,
    name_axes,
    new_figure,
    panel_grid,
    styled,
)

_COLUMNS = 4


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
    """Draw the success rate over the number of transitions: a panel for each method, the others faint behind it."""
    curves = {
        name: sorted((entry for entry in table if entry.method == name), key=lambda entry: entry.size)
        for name in dict.fromkeys(entry.method for entry in table)
    }
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = new_figure(2.5 * columns + 0.6, 2.1 * rows + 0.8)
    panels = panel_grid(figure, len(curves), columns)
    for axes, (name, entries) in zip(panels, curves.items(), strict=True):
        for others in curves.values():
            axes.plot(_sizes(others), [entry.success.value for entry in others], color=FAINT, alpha=0.5, linewidth=1.0)
        draw_rates(axes, _sizes(entries), [entry.success for entry in entries], PALETTE[0])
        axes.set_title(name, fontsize=9.5)
        axes.set_xscale("log")
        share_axis(axes, "")
    name_axes(panels, "transitions", "plans that succeed")
    add_heading(figure, "Swing-up on the true system, 95 % intervals; grey: the other methods")
    return figure


def _sizes(entries: Sequence[Pooled]) -> list[int]:
    return [entry.size for entry in entries]


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
        style: dict[str, Any] = {"fmt": "o", "color": colour, "label": label, "markersize": 5.0, "capsize": 2.0}
        axes.errorbar([r.value for r in rates], places, xerr=interval_lengths(rates), **style)
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
        draw_rates(axes, factors, [entry.success for entry in curve], PALETTE[0], label="plans that succeed")
        outside = [entry.outside for entry in curve]
        axes.plot(factors, outside, "s--", color=PALETTE[1], label="knots outside, median plan")
        axes.axhline(0.05, color=INK, linewidth=0.8, linestyle=":", label="as unseen data")
        axes.set(xscale="log", xlabel=f"β / tuned β, motor's limits {title}")
    share_axis(panels[0], "share")
    legend_above(panels[0])
    (method,) = {entry.method for curve in curves.values() for entry in curve}
    add_heading(figure, f"Sensitivity to β, {method}")
    return figure
