"""Figures of runs on the bus."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.viz.style import INK, PALETTE, new_figure, plain_log_ticks, set_title, styled

_BINS, _ROOM = 41, 1.2


@styled
def plot_run_times(latencies: FloatArray, plan_periods: FloatArray, action_duration: float) -> Figure:
    """Draw how times were kept: from status to command, and between plans.

    Args:
        latencies: `(n,)` [s].
        plan_periods: `(m,)` [s].
        action_duration: at most which plans should be apart [s].
    """
    figure = new_figure(8.0, 3.3)
    left, right = figure.subplots(1, 2)
    _draw_latencies(left, 1e3 * latencies)
    set_title(right, "From plan to plan")
    right.plot(1e3 * plan_periods, ".", color=PALETTE[0], markersize=3)
    right.axhline(1e3 * action_duration, color=INK, linestyle=":", label="action duration")
    right.set(xlabel="plan", ylabel="time since the one before [ms]", ylim=(0, None))
    right.legend(loc="lower right")
    return figure


def _draw_latencies(axes: Axes, milliseconds: FloatArray) -> None:
    """Draw how often each latency occurred, over the range of those that did."""
    set_title(axes, "From status to command")
    axes.set(xscale="log", xlabel="latency [ms]", ylabel="ticks")
    if len(milliseconds):
        low, high = milliseconds.min() / _ROOM, milliseconds.max() * _ROOM
        axes.hist(milliseconds, bins=np.geomspace(low, high, _BINS).tolist(), color=PALETTE[0])
        axes.set(yscale="log", xlim=(low, high))
        plain_log_ticks(axes.xaxis)
