"""Networks for 64 by 64 pixels, and plans of 61,440 variables with them."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.studies.pixels.film import pack_pictures
from trajopt_sgp.studies.pixels.guided import PixelGuidance, plan_pixels
from trajopt_sgp.studies.pixels.models import read_pixel_models
from trajopt_sgp.studies.pixels.pairs import opposite_pairs
from trajopt_sgp.studies.pixels.planning import judge
from trajopt_sgp.studies.pixels.training import PixelTraining, train_pixel_models
from trajopt_sgp.studies.runner import CellContext

_PAIRS = 16
_FILES = ("dynamics", "score", "coarse")


def train_wide(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Collect and train; what was begun goes on. Settings: `resolution`, `channels`, `transitions`, `steps`, `seed`."""
    world, training = PixelWorld(settings["resolution"]), PixelTraining()
    dynamics, score, coarse = settings["steps"]
    channels = tuple(settings["channels"])
    training = replace(
        training,
        transitions=settings["transitions"],
        dynamics=replace(training.dynamics, hidden_sizes=channels, steps=dynamics),
        score=replace(training.score, hidden_sizes=channels, steps=score),
        coarse=replace(training.coarse, steps=coarse),
    )
    _, card = train_pixel_models(world, context.folder, settings["seed"], training)
    for name in _FILES:
        source = context.folder / name / "model.safetensors"
        (context.folder / f"{name}.safetensors").write_bytes(source.read_bytes())
    return {"resolution": settings["resolution"], **card}


def plan_wide(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with the networks that were trained; settings: `pair`, `seed`, perhaps `iterations`."""
    world = PixelWorld(context.inputs["models"].result["resolution"])
    models = read_pixel_models(context.inputs["models"].folder)
    start, goal = opposite_pairs(world, _PAIRS, np.random.default_rng(settings["seed"]))[settings["pair"]]
    guidance = PixelGuidance().at(world.resolution)
    guidance = replace(guidance, **{name: settings[name] for name in ("iterations",) if name in settings})
    generator = np.random.default_rng([settings["seed"], settings["pair"]])
    begin = time.process_time()
    with limited_threads(1):
        problem, solution = plan_pixels(world, models, start, goal, guidance, generator)
    seconds = time.process_time() - begin
    verdict, path = judge(world, problem, solution.trajectory)
    film = {name: pack_pictures(getattr(solution.trajectory, name)) for name in ("states", "controls")}
    return {
        **asdict(verdict),
        "planning_seconds": seconds,
        "evaluations": len(solution.log),
        "goal": goal.tolist(),
        "path": path.tolist(),
        "film": film if settings["pair"] == 0 else None,
    }
