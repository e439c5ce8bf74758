"""Pictures of runs on the bus."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.motion_record import MotionRecord, read_motion
from trajopt_sgp.hardware.run_report import RunReport
from trajopt_sgp.hardware.settings import HardwareSettings

FPS = 5.0
_MARGIN = 0.06


def draw_run(log: Path, report: RunReport, settings: HardwareSettings, folder: Path) -> dict[str, Path]:
    """Draw the times of one run, and what box and pusher did; return the files by name."""
    from trajopt_sgp.viz.pusher_plots import plot_pushes
    from trajopt_sgp.viz.style import save_figure

    motion = read_motion(log)
    states, goal = sample_states(motion), np.asarray(settings.goal)
    return {
        "times": draw_times(report, settings, folder),
        "motion": save_figure(plot_pushes({"box, pusher and goal": (states, goal)}), folder / "motion.png"),
        "animation": animate({"": (states, goal)}, settings, folder / "motion.gif"),
    }


def draw_times(report: RunReport, settings: HardwareSettings, folder: Path) -> Path:
    """Draw how times were kept."""
    from trajopt_sgp.viz.hardware_plots import plot_run_times
    from trajopt_sgp.viz.style import save_figure

    figure = plot_run_times(report.latencies, report.plan_periods, settings.action_duration)
    return save_figure(figure, folder / "times.png")


def animate(episodes: Mapping[str, tuple[FloatArray, FloatArray]], settings: HardwareSettings, path: Path) -> Path:
    """Animate states `(t, 5)` and goals `(3,)` by name, over the workspace."""
    from trajopt_sgp.viz.push_animation import PushedBox, animate_pushes

    west, south, east, north = np.transpose(settings.workspace).ravel().tolist()
    view = (west - _MARGIN, south - _MARGIN), (east + _MARGIN, north + _MARGIN)
    pushed = {name: PushedBox(states, goal) for name, (states, goal) in episodes.items()}
    return animate_pushes(pushed, path, view, FPS, width=160 if len(pushed) > 1 else 320)


def sample_states(motion: MotionRecord) -> FloatArray:
    """Return poses of the box and places of the pusher from the first command on `(t, 5)`."""
    return motion.sample(np.arange(motion.begun, motion.box_times[-1], 1.0 / FPS))
