"""The tree of cells: models of every size and seed, a search for every method, and the plans that need both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trajopt_sgp.studies.cart_pole.methods import METHODS
from trajopt_sgp.studies.cart_pole.models import KINDS, train_model
from trajopt_sgp.studies.cart_pole.plan import plan_and_judge
from trajopt_sgp.studies.cart_pole.tune import tune_method
from trajopt_sgp.studies.runner import StudyCell

BETA_METHOD = "sgp-shooting"
"""Whose β is varied."""


@dataclass(frozen=True)
class Extent:
    """How much a study computes."""

    sizes: Mapping[int, tuple[int, ...]]
    """Seeds of data and models, by number of transitions."""
    tuning: tuple[int, int]
    """Size and seed of the data that settings are searched on."""
    trials: int
    """Of each search."""
    seconds: float
    """Wall time of the plans of a cell [s]."""
    starts: int
    """Guesses of a cell."""
    beta_factors: tuple[float, ...]
    """Times the tuned β; 0 is no guidance."""
    beta_size: int
    """Size of the data β is varied on, and on which planners are not told the limits of the motor in a second round."""
    steps: int | None = None
    """Training steps; None for the defaults of the library."""
    most_iterations: int | None = None
    """Cap on the iterations of every solver."""
    methods: tuple[str, ...] = field(default_factory=lambda: tuple(METHODS))
    """Which methods."""

    @property
    def places(self) -> list[tuple[int, int]]:
        """Sizes with their seeds."""
        return [(size, seed) for size, seeds in self.sizes.items() for seed in seeds]


FULL = Extent(
    sizes={1_000: (0, 1, 2, 3, 4), 10_000: (0, 1, 2, 3, 4), 100_000: (0, 1, 2, 3, 4), 1_000_000: (0,)},
    tuning=(10_000, 100),
    trials=12,
    seconds=30.0,
    starts=32,
    beta_factors=(0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0),
    beta_size=10_000,
)
"""Four sizes, five seeds, 30 s for each cell."""

REDUCED = Extent(
    sizes={300: (0,)},
    tuning=(300, 100),
    trials=2,
    seconds=20.0,
    starts=1,
    beta_factors=(0.0, 10.0),
    beta_size=300,
    steps=20,
    most_iterations=3,
)
"""To see that every part runs."""


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells of the study."""
    return make_cells(REDUCED if reduced else FULL)


def make_cells(extent: Extent) -> list[StudyCell]:
    """Return models, searches, plans and plans with other β, in an order in which each has what it needs before it."""
    models = model_cells(extent, [extent.tuning, *extent.places])
    told = {name: _tune_cell(name, extent, models) for name in extent.methods}
    untold = {name: without_limits(cell) for name, cell in told.items()}
    varied = [(extent.beta_size, seed) for seed in extent.sizes.get(extent.beta_size, ())]
    return [
        *models.values(),
        *told.values(),
        *(plan_cell(name, *place, extent, models, told) for place in extent.places for name in extent.methods),
        *_beta_cells(extent, models, told),
        *untold.values(),
        *(
            without_limits(plan_cell(name, *place, extent, models, untold))
            for place in varied
            for name in extent.methods
        ),
        *(without_limits(cell) for cell in _beta_cells(extent, models, untold)),
    ]


def without_limits(cell: StudyCell) -> StudyCell:
    """Return the cell of the same search or plans by a planner that does not know where the motor ends."""
    return replace(cell, label=f"{cell.label} limits unknown", settings={**cell.settings, "force_limits": False})


Models = Mapping[tuple[str, int, int], StudyCell]


def model_cells(extent: Extent, places: Iterable[tuple[int, int]]) -> Models:
    """Return the cells that train what the methods need, by kind, size and seed."""
    wanted = [kind for kind in KINDS if any(kind in METHODS[name].models for name in extent.methods)]
    return {(kind, *place): model_cell(kind, *place, extent.steps) for place in places for kind in wanted}


def model_cell(kind: str, size: int, seed: int, steps: int | None) -> StudyCell:
    """Return the cell that trains a model."""
    settings = {"kind": kind, "size": size, "seed": seed, "steps": steps}
    return StudyCell(f"train {kind} N={size} seed={seed}", train_model, settings)


def _tune_cell(name: str, extent: Extent, models: Models) -> StudyCell:
    settings = {**_settings(name, *extent.tuning, extent), "trials": extent.trials}
    return StudyCell(f"tune {name}", tune_method, settings, _models(name, extent.tuning, models))


def plan_cell(
    name: str,
    size: int,
    seed: int,
    extent: Extent,
    models: Models,
    tuning: Mapping[str, StudyCell],
    factors: Mapping[str, float] | None = None,
) -> StudyCell:
    """Return the cell of a method's plans: with the settings that its search found, or without one its defaults.

    Args:
        name: of the method.
        size: of the data.
        seed: of the data.
        extent: budget of the plans.
        models: cells that train them.
        tuning: searches by method.
        factors: by which settings are multiplied; at most one.
    """
    settings = _settings(name, size, seed, extent)
    label = f"plan {name} N={size} seed={seed}"
    if factors is not None:
        settings["factors"] = dict(factors)
        label += "".join(f" {key} x {factor:g}" for key, factor in factors.items())
    search = {"tuning": tuning[name]} if name in tuning else {}
    needs = {**search, **_models(name, (size, seed), models)}
    return StudyCell(label, plan_and_judge, settings, needs)


def _beta_cells(extent: Extent, models: Models, tuning: Mapping[str, StudyCell]) -> Iterable[StudyCell]:
    if BETA_METHOD not in extent.methods:
        return []
    return [
        plan_cell(BETA_METHOD, extent.beta_size, seed, extent, models, tuning, {"beta": factor})
        for seed in extent.sizes.get(extent.beta_size, ())
        for factor in extent.beta_factors
    ]


def _settings(name: str, size: int, seed: int, extent: Extent) -> dict[str, Any]:
    return {
        **({"sequential": True} if METHODS[name].sequential else {}),
        "method": name,
        "size": size,
        "seed": seed,
        "seconds": extent.seconds,
        "starts": extent.starts,
        "most_iterations": extent.most_iterations,
    }


def _models(name: str, place: tuple[int, int], models: Models) -> dict[str, StudyCell]:
    return {kind: models[(kind, *place)] for kind in METHODS[name].models}
