"""Figures of the pendulum in keypoints: plans round the circle of its tip, and episodes under control."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from trajopt_sgp.viz.style import BAD, FAINT, GOOD, INK, PALETTE, add_heading, new_figure, set_title, styled


@styled
def plot_keypoint_plan(
    plan: ArrayLike, truth: ArrayLike, defects: Mapping[str, ArrayLike], length: float, title: str
) -> Figure:
    """Draw a plan and what the plant makes of its controls as paths of the tip, and the defects of every step.

    Args:
        plan: keypoint states of the plan, `(N+1, 3)`.
        truth: of the plant under the planned controls in open loop, `(N+1, 3)`.
        defects: of the rate [rad/s], `(N,)`, by label: of this plan, or of several.
        length: of the pendulum [m].
        title: of the figure.
    """
    figure = new_figure(9.0, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.3))
    planned, true = np.asarray(plan), np.asarray(truth)
    _draw_circle(left, length)
    left.plot(planned[:, 1], planned[:, 0], "o-", color=PALETTE[0], ms=3.5, lw=1.2, label="plan")
    left.plot(true[:, 1], true[:, 0], color=PALETTE[1], lw=1.8, label="plant, open loop")
    left.legend(loc="center", framealpha=0.9)
    set_title(left, "Tip of the pendulum")
    for colour, (label, values) in zip(PALETTE, defects.items(), strict=False):
        right.semilogy(np.maximum(np.abs(np.asarray(values)), 1e-6), "o-", color=colour, ms=3.5, lw=1.2, label=label)
    right.set_xlabel("interval")
    right.set_ylabel("|rate planned - true| [rad/s]")
    right.legend(loc="best")
    set_title(right, "One-step error of the plan")
    add_heading(figure, title)
    return figure


@styled
def plot_noise_levels(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw defect, torque and gap of boundary-value plans over the σ at which their schedule ends.

    Args:
        rows: with `solver`, `sigma_stop`, `rate_defect_max`, `torque_max` and `gap` each.
    """
    figure = new_figure(10.5, 3.6)
    panels = figure.subplots(1, 3)
    entries = {
        "rate_defect_max": "largest one-step error [rad/s]",
        "torque_max": "largest torque planned [N m]",
        "gap": "open-loop gap of the tip [m]",
    }
    for panel, (key, label) in zip(panels, entries.items(), strict=True):
        for colour, solver in zip(PALETTE, dict.fromkeys(row["solver"] for row in rows), strict=False):
            chosen = [row for row in rows if row["solver"] == solver]
            sigmas, values = ([row[name] for row in chosen] for name in ("sigma_stop", key))
            panel.plot(sigmas, values, "o-", color=colour, label=solver)
        panel.set_xscale("log")
        panel.set_xticks([0.01, 0.02, 0.05], ["0.01", "0.02", "0.05"])
        panel.minorticks_off()
        panel.set_xlabel("σ at the end of the schedule")
        set_title(panel, label)
        panel.set_ylim(bottom=0.0)
    panels[0].legend(loc="upper left")
    add_heading(figure, "What smoothing costs: hanging to upright in 1.25 s")
    return figure


@styled
def plot_keypoint_control(episodes: Mapping[str, Mapping[str, ArrayLike]], time_step: float, up: float) -> Figure:
    """Draw the height of the tip and the torque of one episode for each controller.

    Args:
        episodes: `states` `(N+1, 3)` and `torques` `(N, 1)` by label.
        time_step: of the environment [s].
        up: height over which the pendulum counts as upright [m].
    """
    figure = new_figure(9.0, 4.4)
    above, below = figure.subplots(2, 1, sharex=True)
    for colour, (label, episode) in zip(PALETTE, episodes.items(), strict=False):
        states, torques = (np.asarray(episode[name]) for name in ("states", "torques"))
        above.plot(time_step * np.arange(len(states)), states[:, 0], color=colour, label=label)
        below.step(time_step * np.arange(len(torques)), torques[:, 0], where="post", color=colour, lw=1.3)
    above.axhline(up, color=GOOD, lw=1.0, ls=(0, (4, 3)), label="counts as upright")
    above.set_ylabel("height of the tip [m]")
    above.legend(loc="lower right")
    below.set_ylabel("torque [N m]")
    below.set_xlabel("time [s]")
    add_heading(figure, "Swing-up by model predictive control of the environment")
    return figure


def _draw_circle(axes: Axes, length: float) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    axes.plot(length * np.sin(angle), length * np.cos(angle), color=FAINT, lw=0.8)
    axes.plot(0.0, -length, "s", color=BAD, ms=6, label="hanging")
    axes.plot(0.0, length, "*", color=GOOD, ms=12, label="upright")
    axes.plot(0.0, 0.0, "o", color=INK, ms=4)
    axes.set_aspect("equal")
    axes.set_xlabel("tip offset [m]")
    axes.set_ylabel("tip height [m]")
