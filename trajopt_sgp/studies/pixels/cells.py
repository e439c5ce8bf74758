"""The cells: a pair of start and goal and a planner; what becomes of the true point."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.studies.pixels.guided import PixelGuidance, best_guess, plan_pixels
from trajopt_sgp.studies.pixels.models import shipped_pixel_models
from trajopt_sgp.studies.pixels.pairs import opposite_pairs
from trajopt_sgp.studies.pixels.planning import judge
from trajopt_sgp.studies.runner import CellContext, StudyCell

PLANNERS = ("guided", "unguided", "best guess")
"""With distances to data; without; and the guess of least imagined cost with distances, not improved."""
PAIRS = 16


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells: every planner on every pair, pair by pair."""
    pairs, iterations = (1, 2) if reduced else (PAIRS, PixelGuidance().iterations)
    settings = [
        {"pair": pair, "planner": planner, "iterations": iterations, "guesses": 2 if reduced else 16, "seed": 0}
        for pair in range(pairs)
        for planner in PLANNERS
    ]
    return [StudyCell(f"pair {one['pair']} {one['planner']}", measure, one) for one in settings]


def measure(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with the weights that ship, and return the verdict on the true point and the seconds of the plan."""
    world, models = PixelWorld(), shipped_pixel_models()
    start, goal = opposite_pairs(world, PAIRS, np.random.default_rng(settings["seed"]))[settings["pair"]]
    guidance = replace(PixelGuidance(), iterations=settings["iterations"], guesses=settings["guesses"])
    if settings["planner"] == "unguided":
        guidance = replace(guidance, pixel_weight=0.0, coarse_weight=0.0)
    plan = best_guess if settings["planner"] == "best guess" else plan_pixels
    generator = np.random.default_rng([settings["seed"], settings["pair"]])
    with limited_threads(1):
        problem, solution = plan(world, models, start, goal, guidance, generator)
    verdict, path = judge(world, problem, solution.trajectory)
    return {
        **asdict(verdict),
        "start": start.tolist(),
        "goal": goal.tolist(),
        "path": path.tolist(),
        "iterations_run": len(solution.log),
    }
