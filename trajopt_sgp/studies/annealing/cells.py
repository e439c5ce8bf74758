"""The cells: models, a search for β for each combination of choices on a seed of its own, and plans with that β."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from trajopt_sgp.studies.annealing.choices import ANNEALINGS, ARCHITECTURES, WEIGHTINGS, Choice
from trajopt_sgp.studies.annealing.systems import DYNAMICS, SYSTEMS, Effort, Models
from trajopt_sgp.studies.runner import CellContext, StudyCell

_WORST_COST = 1e3


@dataclass(frozen=True)
class Extent:
    """How much is computed of one system."""

    size: int
    """Of the data."""
    seeds: tuple[int, ...]
    """Of data, models and guesses of the table."""
    tuning: int
    """Seed on which β is chosen."""
    effort: Effort
    """Of one planning."""
    steps: int | None = None
    """Of every training; None for those of the system."""
    betas: tuple[int, int] | None = None
    """Which β are tried, first place in the list and the one after the last; None for all."""
    annealings: tuple[str, ...] = tuple(ANNEALINGS)
    """Which schedules."""
    architectures: tuple[str, ...] = ARCHITECTURES
    """Which networks."""


FULL: Mapping[str, Extent] = {
    "cart-pole": Extent(1000, (0, 1), 100, Effort(starts=32, goals=0, iterations=250), betas=(0, 5)),
    "light-dark": Extent(
        1000,
        (0, 1),
        100,
        Effort(starts=16, goals=2, iterations=200),
        betas=(1, 6),
        annealings=("geometric", "stepwise", "adaptive", "constant"),
        architectures=("mlp", "level_embedding"),
    ),
}
"""By system; few data, since with ten times as many every combination succeeds always."""

REDUCED: Mapping[str, Extent] = {
    "cart-pole": Extent(300, (0,), 1, Effort(2, 0, 3), 20, (2, 4), ("adaptive",), ("level_embedding",)),
    "light-dark": Extent(20_000, (0,), 1, Effort(4, 1, 100), 400, (4, 5), ("geometric",), ("mlp",)),
}
"""To see that every part runs."""


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells of both systems."""
    extents = REDUCED if reduced else FULL
    return [cell for system, extent in extents.items() for cell in make_cells(system, extent)]


def make_cells(system: str, extent: Extent) -> list[StudyCell]:
    """Return the cells of one system, each after what it needs."""
    places = product((DYNAMICS, *extent.architectures), (extent.tuning, *extent.seeds))
    models = {place: _training(system, extent, *place) for place in places}
    blind = [_planning(system, extent, models, seed, None, None) for seed in extent.seeds]
    cells = [*models.values(), *blind]
    for annealing, architecture, weighting in product(extent.annealings, extent.architectures, WEIGHTINGS):
        choice = {"annealing": annealing, "architecture": architecture, "weighting": weighting}
        search = _search(system, extent, models, choice)
        cells += [search, *(_planning(system, extent, models, seed, choice, search) for seed in extent.seeds)]
    return cells


Trained = Mapping[tuple[str, int], StudyCell]


def _training(system: str, extent: Extent, kind: str, seed: int) -> StudyCell:
    settings = {"system": system, "kind": kind, "size": extent.size, "seed": seed, "steps": extent.steps}
    return StudyCell(f"{system} train {kind} seed={seed}", train_model, settings)


def _search(system: str, extent: Extent, models: Trained, choice: Mapping[str, str]) -> StudyCell:
    betas = WEIGHTINGS[choice["weighting"]]
    tried = betas[slice(*(extent.betas or (None,)))]
    settings = {**_settings(system, extent, extent.tuning), **choice, "betas": list(tried)}
    needs = _needs(models, choice["architecture"], extent.tuning)
    return StudyCell(f"{system} search {' '.join(choice.values())}", search_beta, settings, needs)


def _planning(
    system: str, extent: Extent, models: Trained, seed: int, choice: Mapping[str, str] | None, search: StudyCell | None
) -> StudyCell:
    settings = {**_settings(system, extent, seed), **(choice or {})}
    architecture = extent.architectures[0] if choice is None else choice["architecture"]
    needs = _needs(models, architecture, seed) | ({} if search is None else {"search": search})
    name = "β = 0" if choice is None else " ".join(choice.values())
    return StudyCell(f"{system} plan {name} seed={seed}", plan_and_judge, settings, needs)


def _settings(system: str, extent: Extent, seed: int) -> dict[str, Any]:
    return {"system": system, "size": extent.size, "seed": seed, "effort": asdict(extent.effort)}


def _needs(models: Trained, architecture: str, seed: int) -> dict[str, StudyCell]:
    return {"dynamics": models[DYNAMICS, seed], "score": models[architecture, seed]}


def train_model(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train the dynamics, or the score by one architecture; the model stays in the folder of the cell."""
    system = SYSTEMS[settings["system"]]
    return system.train(settings["kind"], settings["size"], settings["seed"], settings["steps"], context.folder)


def search_beta(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with every β and return the best: most successes, of equals that with the lower median cost."""
    models, trials = _load(settings, context), []
    for beta in settings["betas"]:
        found = _plan(settings, models, beta)
        trials.append({"beta": beta, "rate": found["successes"] / found["plans"], "cost": _median(found["costs"])})
    best = min(trials, key=lambda trial: (-trial["rate"], trial["cost"]))
    return {"beta": best["beta"], "trials": trials}


def plan_and_judge(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with the β that was found, or without a distance to data where none was searched."""
    search = context.inputs.get("search")
    beta = 0.0 if search is None else search.result["beta"]
    return {"beta": beta, **_plan(settings, _load(settings, context), beta)}


def _plan(settings: Mapping[str, Any], models: Models, beta: float) -> dict[str, Any]:
    annealing = settings.get("annealing", "geometric")
    choice = Choice(annealing, settings.get("weighting", "sigma2"), beta)
    system, effort = SYSTEMS[settings["system"]], Effort(**settings["effort"])
    return system.plan(models, choice, effort, settings["seed"])


def _load(settings: Mapping[str, Any], context: CellContext) -> Models:
    folders = (context.inputs[role].folder for role in ("dynamics", "score"))
    return SYSTEMS[settings["system"]].load(settings["size"], settings["seed"], *folders)


def _median(costs: Any) -> float:
    return float(np.median(np.nan_to_num(np.asarray(costs, dtype=np.float64), nan=_WORST_COST, posinf=_WORST_COST)))
