"""Figures of runs on the bus."""

import numpy as np
from matplotlib.figure import Figure

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.viz.style import INK, PALETTE, new_figure, styled


@styled
def plot_run_times(latencies: FloatArray, plan_periods: FloatArray, action_duration: float) -> Figure:
    """Draw how times were kept: from status to command, and between plans.

    Args:
        latencies: `(n,)` [s].
        plan_periods: `(m,)` [s].
        action_duration: at most which plans should be apart [s].
    """
    figure = new_figure(8.0, 3.0)
    left, right = figure.subplots(1, 2)
    left.hist(1e3 * latencies, bins=np.geomspace(0.1, 100.0, 60).tolist(), color=PALETTE[0])
    left.set(xscale="log", xlabel="status to command [ms]", ylabel="ticks")
    if len(latencies):
        left.set_yscale("log")
    right.plot(1e3 * plan_periods, ".", color=PALETTE[0], markersize=3)
    right.axhline(1e3 * action_duration, color=INK, linestyle=":", label="action duration")
    right.set(xlabel="plan", ylabel="time since the one before [ms]", ylim=(0, None))
    right.legend(loc="lower right")
    return figure
