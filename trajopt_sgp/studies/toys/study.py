"""The planar toys as a study: pure functions from settings to results, and what is written from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from trajopt_sgp.envs import find_world
from trajopt_sgp.solvers import GradientDescent
from trajopt_sgp.studies.files import write_json
from trajopt_sgp.studies.toys.circle import CircleModels, land_on_circle, train_circle
from trajopt_sgp.studies.toys.crossings import draw_crossings
from trajopt_sgp.studies.toys.hole import read_in_places, toy_readings
from trajopt_sgp.studies.toys.pages import toys_page
from trajopt_sgp.studies.toys.planning import ToyPlan, run_toy_planner
from trajopt_sgp.studies.toys.training import ToyModels, TrainingBudget, train_toy_models
from trajopt_sgp.viz import plot_paths, plot_score_field, save_figure
from trajopt_sgp.viz.path_plots import Paths

_FIGURE_DPI = 110
_DIGITS = 4


@dataclass(frozen=True)
class Toy:
    """What one world is asked."""

    plan: ToyPlan
    """How its plans are made."""
    places: Mapping[str, ArrayLike]
    """Where uncertainties are read."""
    sigma_range: tuple[float, float]
    """Noise levels of its models."""
    reading_sigmas: tuple[float, ...]
    """Noise levels of the readings."""
    box: tuple[float, float]
    """Lower and upper limit, in both coordinates, of the plane in pictures of fields."""


TOYS: Mapping[str, Toy] = {
    "light-dark": Toy(
        ToyPlan(
            horizon=30,
            beta=30.0,
            sigmas=(0.3, 0.05),
            energy_beta=30.0,
            energy_sigmas=(0.3, 0.1),
            upper=0.1,
            spread=0.5,
            shooting=GradientDescent(iterations=200, step_size=0.1, annealing=0.7, tolerance=1e-5),
        ),
        {"centre of the hole": (0.0, 0.0), "halfway to its edge": (0.2, 0.0), "in the data": (0.7, 0.0)},
        (0.03, 0.5),
        (0.05, 0.1, 0.2),
        (-1.0, 1.0),
    ),
    "corridor": Toy(
        ToyPlan(
            horizon=40,
            beta=100.0,
            sigmas=(0.2, 0.03),
            energy_beta=100.0,
            energy_sigmas=(0.2, 0.03),
            upper=0.05,
            spread=0.1,
            shooting=GradientDescent(iterations=300, step_size=0.1, annealing=0.7, tolerance=1e-5),
        ),
        {"on the straight way": (0.5, 0.5), "behind the corner": (0.2, 0.2), "in the data": (0.0, 0.7)},
        (0.01, 0.4),
        (0.03, 0.1, 0.2),
        (-0.3, 2.0),
    ),
}
"""By the names of their worlds; tuned by hand on other starts than those reported."""


@dataclass(frozen=True)
class ToySettings:
    """Of a whole run."""

    goals: int = 8
    """Goals of each world."""
    starts: int = 8
    """Starts of each goal."""
    seed: int = 0
    """Of data, training, starts and guesses."""
    budget: TrainingBudget = field(default_factory=TrainingBudget)
    """Data and training."""
    circle_steps: int = 2000
    """Training of the circle's score."""


REDUCED = ToySettings(1, 4, budget=TrainingBudget(20_000, 600, 1200, 600), circle_steps=400)
"""Seconds instead of minutes; shows that all parts run."""


def run_toy(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train, plan and read one world: a cell, whose settings and result are plain JSON values.

    Args:
        settings: `world`, and the entries of `ToySettings`.
    """
    name, budget = settings["world"], TrainingBudget(**settings["budget"])
    models = train_toy_models(find_world(name), budget, TOYS[name].sigma_range, settings["seed"])
    return ask_models(name, models, settings)


def ask_models(name: str, models: ToyModels, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plan and read one world with trained models; arguments and result as of `run_toy`."""
    world, toy, seed = find_world(name), TOYS[name], settings["seed"]
    # far from the seeds that the settings were tuned on
    crossings = draw_crossings(world, settings["goals"], settings["starts"], np.random.default_rng(10_000 + seed))
    rows = [run_toy_planner(p, toy.plan, world, models, crossings, seed) for p in toy.plan.planners()]
    return {
        "world": name,
        "data": {"draws": settings["budget"]["draws"], "kept": len(models.data)},
        "training_seconds": dict(models.seconds),
        "rows": [dict(row.summary) for row in rows],
        "readings": read_in_places(models, toy_readings(models), toy.places, toy.reading_sigmas),
        "goals": crossings.goals.round(_DIGITS).tolist(),
        "paths": {row.planner.name: row.paths.round(_DIGITS).tolist() for row in rows},
    }


def run_circle(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train a score on the circle and let points land on it: a cell, as `run_toy`."""
    return ask_circle(train_circle(steps=settings["circle_steps"], seed=settings["seed"]), settings)


def ask_circle(models: CircleModels, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Let points land on the circle by its learned score and by the closed form."""
    found = {"score network": models.score, "exact smoothed distance": models.exact}
    return {name: dict(land_on_circle(model, 64, settings["seed"])) for name, model in found.items()}


def write_toys(folder: Path, settings: ToySettings | None = None, models: Path | None = None) -> dict[str, Any]:
    """Run everything and write results.json, index.md and the figures to a folder; return the results.

    Args:
        folder: where they go.
        settings: of the run; by default all of it.
        models: where trainings are kept, so that a second run does not repeat them.
    """
    plain = asdict(settings or ToySettings())
    folder.mkdir(parents=True, exist_ok=True)
    circle = train_circle(steps=plain["circle_steps"], seed=plain["seed"])
    save_figure(circle_figure(circle), folder / "circle.png", _FIGURE_DPI)
    results: dict[str, Any] = {"settings": plain, "circle": ask_circle(circle, plain), "worlds": {}}
    for name, toy in TOYS.items():
        place = None if models is None else models / name
        budget = TrainingBudget(**plain["budget"])
        trained = train_toy_models(find_world(name), budget, toy.sigma_range, plain["seed"], place)
        save_figure(field_figure(name, trained), folder / f"{name}-field.png", _FIGURE_DPI)
        found = ask_models(name, trained, plain)
        save_figure(paths_figure(found), folder / f"{name}-paths.png", _FIGURE_DPI)
        save_figure(paths_figure(found, slice(2, None)), folder / f"{name}-ipopt.png", _FIGURE_DPI)
        results["worlds"][name] = found
    write_json(folder / "results.json", results)
    (folder / "index.md").write_text(toys_page(results), encoding="utf-8")
    return results


def paths_figure(found: Mapping[str, Any], chosen: slice = slice(0, 2)) -> Figure:
    """Return the picture of all paths of some planners of a world; by default those by shooting."""
    panels = []
    for row in found["rows"][chosen]:
        note = f"{row['inside_rate']:.0%} of {row['paths']} paths stay; {row['knots_outside']:.1%} of knots are outside"
        panels.append(Paths(row["name"], found["paths"][row["name"]], note))
    title = f"{found['world']}: true paths under the plans; red where they leave the data"
    return plot_paths(find_world(found["world"]), panels, found["goals"], title)


def field_figure(name: str, models: ToyModels) -> Figure:
    """Return the picture of the learned and the exact field of a world, without control, by noise level."""
    low, high = TOYS[name].box
    sigmas: Sequence[float] = TOYS[name].reading_sigmas
    known = models.data.states[:: max(1, len(models.data) // 1500)]
    shown = {"score": models.score, "exact": models.exact}
    return plot_score_field(
        shown, sigmas, (low, high), (0.0, 0.0), known, title=f"{name}: step towards the data, u = 0"
    )


def circle_figure(models: CircleModels) -> Figure:
    """Return the picture of the learned and the exact field of the circle, by noise level."""
    shown = {"score": models.score, "exact": models.exact}
    title = "Circle: step towards the data"
    return plot_score_field(shown, (0.1, 0.25, 0.5), (-4.5, 4.5), points=models.data.states, title=title)
