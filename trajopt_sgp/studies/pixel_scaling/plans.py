"""Plans of every planner for pictures of any size and horizons of any length."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.models import EnsembleDynamics, load_model_as
from trajopt_sgp.studies.long_horizon.budget import PeakMemory
from trajopt_sgp.studies.pixels.film import pack_pictures
from trajopt_sgp.studies.pixels.measure import make_effort
from trajopt_sgp.studies.pixels.models import (
    PixelModels,
    read_pixel_models,
    shipped_pixel_models,
    shipped_transition_score,
)
from trajopt_sgp.studies.pixels.pairs import pairs_within
from trajopt_sgp.studies.pixels.planners import PLANNERS, Ingredients, make_plan
from trajopt_sgp.studies.pixels.planning import judge
from trajopt_sgp.studies.runner import CellContext

FILMED = ("guided", "score transcription")
"""Planners of whose first plan the pictures are kept."""

_PAIRS = 16
_SLACK = 2
"""Steps that the shortest way leaves over."""


def plan_sized(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan from the straight line with networks for pictures of that size; those of 32 by 32 pixels ship.

    The score of transitions is that of 32 by 32 pixels at every size: coarse pictures are the same.

    Settings: `resolution`, `horizon`, `planner`, `pair` of 16 drawn with `seed`, `numbers` of the planner, `seconds`
    of planners that sample, perhaps `iterations`. Memory is the peak of the process above what it used before.
    """
    world, horizon = PixelWorld(settings["resolution"]), settings["horizon"]
    ingredients = Ingredients(
        world, _models(world, context), _ensemble(context), transitions=shipped_transition_score()
    )
    pairs = pairs_within(world, _PAIRS, np.random.default_rng(settings["seed"]), horizon - _SLACK)
    effort = make_effort({"start": "straight", **settings}, settings["numbers"])
    effort = replace(
        effort,
        guidance=effort.guidance.at(world.resolution, horizon),
        without_dynamics=effort.without_dynamics.at(world.resolution),
    )
    generator = np.random.default_rng([settings["seed"], settings["pair"]])
    begin, planner = time.process_time(), PLANNERS[settings["planner"]]
    with limited_threads(1), PeakMemory() as memory:
        plan = make_plan(planner, ingredients, pairs[settings["pair"]], effort, generator, horizon)
    seconds = time.process_time() - begin
    verdict, path = judge(world, plan.problem, plan.trajectory)
    film = {name: pack_pictures(getattr(plan.trajectory, name)) for name in ("states", "controls")}
    return {
        **asdict(verdict),
        "variables": plan.variables,
        "planning_seconds": seconds,
        "peak_megabytes": memory.megabytes,
        "evaluations": plan.evaluations,
        "goal": np.asarray(plan.problem.parameters["goal"]).tolist(),
        "path": path.tolist(),
        "film": film if settings["pair"] == 0 and settings["planner"] in FILMED else None,
    }


def _models(world: PixelWorld, context: CellContext) -> PixelModels:
    if "models" in context.inputs:
        return read_pixel_models(context.inputs["models"].folder)
    return shipped_pixel_models()


def _ensemble(context: CellContext) -> EnsembleDynamics | None:
    if "ensemble" not in context.inputs:
        return None
    return load_model_as(EnsembleDynamics, context.inputs["ensemble"].folder / "model.safetensors")
