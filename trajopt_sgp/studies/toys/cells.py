"""The cells: a circle; and for each world its models, its plans by each planner, and what uncertainties read."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PlanarWorld, find_world
from trajopt_sgp.studies.runner import CellContext, StudyCell
from trajopt_sgp.studies.toys.circle import land_on_circle, train_circle
from trajopt_sgp.studies.toys.compact import pack_array
from trajopt_sgp.studies.toys.crossings import draw_crossings
from trajopt_sgp.studies.toys.hole import read_in_places, train_alternatives
from trajopt_sgp.studies.toys.planning import run_toy_planner
from trajopt_sgp.studies.toys.settings import TOYS, Toy
from trajopt_sgp.studies.toys.training import ToyModels, TrainingBudget, load_toy_models, train_toy_models
from trajopt_sgp.uncertainty import GradientModel
from trajopt_sgp.viz.score_field_plots import sample_score_field

CIRCLE_SIGMAS = (0.1, 0.25, 0.5)
"""Noise levels of the pictures of the circle."""

_SHOWN = 1500
_CHAINS = 64
_REDUCED_BUDGET = TrainingBudget(draws=20_000, dynamics_steps=400, score_steps=800, energy_steps=400)
# far from the seeds that the settings were tuned on
_FIRST_STARTS = 10_000


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells: 8 goals with 8 starts each in every world; reduced, one goal and quick training."""
    circle = {"points": 1000, "steps": 300 if reduced else 2000, "seed": 0}
    cells = [StudyCell("circle", measure_circle, circle)]
    budget = asdict(_REDUCED_BUDGET if reduced else TrainingBudget())
    for world, toy in TOYS.items():
        common = {"world": world, "seed": 0, "budget": budget}
        models = StudyCell(f"{world} models", train_world, common)
        needs = {"models": models}
        crossings = {**common, "goals": 1 if reduced else 8, "starts": 4 if reduced else 8}
        plans = [
            StudyCell(f"{world} {planner}", plan_world, {**crossings, "planner": planner}, needs)
            for planner in toy.plan.planners()
        ]
        readings = {**common, "steps": 300 if reduced else 3000, "pool": 1000 if reduced else 65_536}
        cells += [models, *plans, StudyCell(f"{world} readings", read_world, readings, needs)]
    return cells


def measure_circle(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train a score on the circle, and let points land on it by it and by the closed form."""
    trained = train_circle(settings["points"], settings["steps"], settings["seed"])
    fields: dict[str, GradientModel] = {"score": trained.score, "exact": trained.exact}
    return {
        "landings": {label: land_on_circle(model, _CHAINS, settings["seed"]) for label, model in fields.items()},
        "fields": [
            _field(label, model, sigma, (-4.5, 4.5), ()) for label, model in fields.items() for sigma in CIRCLE_SIGMAS
        ],
        "data": pack_array(trained.data.states),
    }


def train_world(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train the models of a world; they stay in the folder of the cell."""
    world, toy, budget = _inputs(settings)
    models = train_toy_models(world, budget, toy.sigma_range, settings["seed"], context.folder)
    fields: dict[str, GradientModel] = {"score": models.score, "exact": models.exact}
    return {
        "kept": len(models.data),
        "fields": [
            _field(label, model, sigma, toy.box, (0.0, 0.0))
            for label, model in fields.items()
            for sigma in toy.reading_sigmas
        ],
        "data": pack_array(_some(models.data.states)),
    }


def _some(states: FloatArray) -> FloatArray:
    """Return a few of the states; not the first, for a world may be drawn part by part."""
    return states[:: max(1, len(states) // _SHOWN)]


def plan_world(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan from all starts by one planner and judge the plans in the true world."""
    world, toy, _ = _inputs(settings)
    generator = np.random.default_rng(_FIRST_STARTS + settings["seed"])
    crossings = draw_crossings(world, settings["goals"], settings["starts"], generator)
    planner = toy.plan.planners()[settings["planner"]]
    found = run_toy_planner(planner, toy.plan, world, _models(settings, context), crossings, settings["seed"])
    return {**found, "goals": pack_array(crossings.goals)}


def read_world(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Read every uncertainty in the places of a world."""
    toy, models = TOYS[settings["world"]], _models(settings, context)
    alternatives = train_alternatives(models, settings["steps"], settings["pool"], settings["seed"])
    return {"rows": read_in_places(models, alternatives, toy.places, toy.reading_sigmas)}


def _inputs(settings: Mapping[str, Any]) -> tuple[PlanarWorld, Toy, TrainingBudget]:
    return find_world(settings["world"]), TOYS[settings["world"]], TrainingBudget(**settings["budget"])


def _models(settings: Mapping[str, Any], context: CellContext) -> ToyModels:
    world, toy, budget = _inputs(settings)
    return load_toy_models(world, budget, toy.sigma_range, settings["seed"], context.inputs["models"].folder)


def _field(
    label: str, model: GradientModel, sigma: float, box: tuple[float, float], control: tuple[float, ...]
) -> dict[str, Any]:
    found = sample_score_field(label, model, sigma, box, control)
    arrays = {"points": found.points, "steps": found.steps, "lengths": found.lengths}
    return {"label": label, "sigma": sigma, **{name: pack_array(array) for name, array in arrays.items()}}
