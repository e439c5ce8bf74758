"""What is computed in a cell: a plan, judged by the true point; and an ensemble."""

import time
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.learning import ImageEnsembleSettings, train_image_ensemble
from trajopt_sgp.models import EnsembleDynamics, load_model_as
from trajopt_sgp.studies.pixels.film import pack_pictures
from trajopt_sgp.studies.pixels.guided import PixelGuidance
from trajopt_sgp.studies.pixels.models import shipped_pixel_models, shipped_transition_score
from trajopt_sgp.studies.pixels.pairs import opposite_pairs
from trajopt_sgp.studies.pixels.planners import PLANNERS, Effort, Ingredients, PixelPlan, exact_coarse_score, make_plan
from trajopt_sgp.studies.pixels.planning import PixelVerdict, judge
from trajopt_sgp.studies.pixels.sampled import SampledSearch
from trajopt_sgp.studies.pixels.training import PixelTraining, collect_pixel_dataset
from trajopt_sgp.studies.pixels.transcription import TransitionGuidance
from trajopt_sgp.studies.runner import CellContext

DATA_SEED = 0
"""Of the data that the weights that ship were trained on."""

BENT_GUESSES = 16
"""Of planners that set out from the best of bent paths; others know the straight line alone."""

_COUNTS = ("population", "points", "components")
_MODEL_FILE = "model.safetensors"


def measure(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with the weights that ship; of the first pair the pictures are kept too.

    Settings: `planner`, `start`, `pair` of `pairs` drawn with `seed`, `seconds` of planners that sample, and, where
    they are not the defaults, `iterations` and `guesses`. Other numbers are those that a search found, if the cell
    has one.
    """
    tuned = context.inputs["tuned"].result["settings"] if "tuned" in context.inputs else {}
    plan, verdict, path, seconds = plan_and_judge(settings, tuned, gather(settings["planner"], context))
    film = {name: pack_pictures(getattr(plan.trajectory, name)) for name in ("states", "controls")}
    return {
        **asdict(verdict),
        "distance_cost": PixelGuidance().distance_cost(shipped_pixel_models(), plan.trajectory),
        "planning_seconds": seconds,
        "evaluations": plan.evaluations,
        "start": path[0].tolist(),
        "goal": np.asarray(plan.problem.parameters["goal"]).tolist(),
        "path": path.tolist(),
        "film": film if settings["pair"] == 0 else None,
    }


def plan_and_judge(
    settings: Mapping[str, Any], numbers: Mapping[str, float], ingredients: Ingredients
) -> tuple[PixelPlan, PixelVerdict, FloatArray, float]:
    """Return a plan, the verdict on it, the true positions, and the seconds it took on the processor."""
    pairs = opposite_pairs(ingredients.world, settings["pairs"], np.random.default_rng(settings["seed"]))
    generator = np.random.default_rng([settings["seed"], settings["pair"]])
    effort, begin = make_effort(settings, numbers), time.process_time()
    with limited_threads(1):
        plan = make_plan(PLANNERS[settings["planner"]], ingredients, pairs[settings["pair"]], effort, generator)
    seconds = time.process_time() - begin
    return plan, *judge(ingredients.world, plan.problem, plan.trajectory), seconds


def make_effort(settings: Mapping[str, Any], numbers: Mapping[str, float]) -> Effort:
    """Return what a planner may do: `start` chooses its guesses, `numbers` are settings that a search found."""
    guidance = replace(PixelGuidance(), guesses=BENT_GUESSES if settings["start"] == "bent" else 1)
    guidance = replace(guidance, **{name: settings[name] for name in ("iterations", "guesses") if name in settings})
    own = {field.name for field in fields(SampledSearch)}
    found: dict[str, Any] = {name: round(value) if name in _COUNTS else value for name, value in numbers.items()}
    search = SampledSearch(**{name: value for name, value in found.items() if name in own})
    rest = {name: value for name, value in found.items() if name not in own}
    if "seconds" in settings:
        rest["seconds"] = settings["seconds"]
    shorter = {name: settings[name] for name in ("iterations",) if name in settings}
    return Effort(guidance, replace(TransitionGuidance(), **shorter), search, **rest)


def gather(planner: str, context: CellContext) -> Ingredients:
    """Return what a planner is made of; the exact distance reads the data of the weights, or collects them."""
    world, models = PixelWorld(), shipped_pixel_models()
    ensemble = coarse = transitions = None
    if "ensemble" in context.inputs:
        ensemble = load_model_as(EnsembleDynamics, context.inputs["ensemble"].folder / _MODEL_FILE)
    if PLANNERS[planner].uncertainty == "exact":
        coarse = exact_coarse_score(collect_pixel_dataset(world, PixelTraining().transitions, DATA_SEED))
    if PLANNERS[planner].uncertainty == "transitions":
        transitions = shipped_transition_score()
    return Ingredients(world, models, ensemble, coarse, transitions)


def train_ensemble(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train image ensembles on the data of the weights; settings: `steps`, `transitions` and `data_seed`."""
    data = collect_pixel_dataset(PixelWorld(), settings["transitions"], settings["data_seed"])
    training = ImageEnsembleSettings(steps=settings["steps"])
    found = train_image_ensemble(data, training, settings["data_seed"], context.folder)
    return {
        "settings": training.to_json(),
        "validation_loss": found.validation_loss,
        "parameters": sum(parameter.numel() for parameter in found.model.parameters()),
        "seconds": found.seconds,
    }
