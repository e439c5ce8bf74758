"""Plans of 15,360 decision variables with the weights that ship: with distances, without, and without dynamics."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.files import write_json
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.studies.pixels.guided import PixelGuidance, plan_pixels
from trajopt_sgp.studies.pixels.models import PixelModels, shipped_pixel_models, shipped_transition_score
from trajopt_sgp.studies.pixels.pairs import opposite_pairs
from trajopt_sgp.studies.pixels.planning import judge
from trajopt_sgp.studies.pixels.transcription import TransitionGuidance, plan_by_scores
from trajopt_sgp.studies.training import Report
from trajopt_sgp.viz import plot_film_strip, save_figure
from trajopt_sgp.viz.pixel_animation import animate_pictures

Planner = Callable[[], tuple[OptimalControlProblem, Solution]]


@dataclass(frozen=True)
class PixelDemoSettings:
    """What the demo does; with the defaults three plans, each about a quarter of a minute on one idle core."""

    folder: Path = Path("runs/demo-pixels")
    """Where everything is written."""
    seed: int = 0
    """Of start, goal and guesses."""
    guidance: PixelGuidance = field(default_factory=PixelGuidance)
    """How plans with dynamics are held to the data."""
    without_dynamics: TransitionGuidance = field(default_factory=TransitionGuidance)
    """How the plan without dynamics is."""


def run_pixel_demo(settings: PixelDemoSettings, report: Report = lambda text: None) -> dict[str, Any]:
    """Plan around the hole, without distances to data, and without dynamics; draw all, and return the summary.

    Writes `summary.json` and, for `guided`, `unguided` and `transcription`, a film strip and an animation.
    """
    world, models, transitions = PixelWorld(), shipped_pixel_models(), shipped_transition_score()
    start, goal = pair = opposite_pairs(world, 1, np.random.default_rng(settings.seed))[0]
    unguided = replace(settings.guidance, pixel_weight=0.0, coarse_weight=0.0)
    generator = np.random.default_rng(settings.seed)
    planners: dict[str, Planner] = {
        "guided": lambda: plan_pixels(world, models, *pair, settings.guidance, generator),
        "unguided": lambda: plan_pixels(world, models, *pair, unguided, generator),
        "transcription": lambda: plan_by_scores(world, transitions, models.score, pair, settings.without_dynamics),
    }
    plans = {}
    with limited_threads(1):
        for name, planner in planners.items():
            report(f"planning, {name}")
            plans[name] = _plan(settings, world, models, name, planner)
    summary = {
        "seed": settings.seed,
        "start": start.tolist(),
        "goal": goal.tolist(),
        "data": models.dynamics.dataset.hash,
        "guidance": asdict(settings.guidance),
        "plans": plans,
    }
    write_json(settings.folder / "summary.json", summary)
    return summary


def _plan(
    settings: PixelDemoSettings,
    world: PixelWorld,
    models: PixelModels,
    name: str,
    planner: Planner,
) -> dict[str, Any]:
    begin = time.perf_counter()
    problem, solution = planner()
    seconds = time.perf_counter() - begin
    verdict, path = judge(world, problem, solution.trajectory)
    distances = data_lengths(settings.guidance, models, solution.trajectory)
    ends = f"the true point ends {verdict.goal_distance:.2f} from the goal, {_hole(verdict.hole_depth)}"
    rows: dict[str, ArrayLike] = {
        "imagined": solution.trajectory.states,
        "true": world.state_picture(path),
        "controls": solution.trajectory.controls,
    }
    share = world.hole / world.state_images.extent
    save_figure(
        plot_film_strip(rows, f"{name.capitalize()}: {ends}", distances, share), settings.folder / f"{name}.png"
    )
    animate_pictures(rows, settings.folder / f"{name}.gif")
    return {
        **asdict(verdict),
        "variables": int(solution.variables.size),
        "seconds": round(seconds, 1),
        "path": path.round(4).tolist(),
        "data_lengths": distances.round(4).tolist(),
    }


def data_lengths(guidance: PixelGuidance, models: PixelModels, plan: Trajectory) -> FloatArray:
    """Return the length of the pull of coarse pictures to the data at the knots 0..N-1, `(N,)`."""
    term = replace(guidance, coarse_weight=1.0).costs(models)[-1]
    states, controls = (torch.as_tensor(a, dtype=torch.float32) for a in (plan.states[:-1], plan.controls))
    with torch.no_grad():
        return term.length(states, controls).numpy().astype(np.float64)


def _hole(depth: float) -> str:
    return "out of the hole" if depth == 0.0 else f"{depth:.2f} into the hole"
