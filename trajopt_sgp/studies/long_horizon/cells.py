"""The cells: models and crossings of the corridor for every horizon; models of the maze and ways through it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from trajopt_sgp.learning import (
    MODEL_FILE,
    DynamicsSettings,
    EnergySettings,
    ScoreSettings,
    train_dynamics,
    train_energy,
    train_score,
)
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork, load_model_as
from trajopt_sgp.studies.cart_pole.models import shortened
from trajopt_sgp.studies.long_horizon.corridor import (
    CORRIDOR_PLANNERS,
    SIGMA_RANGE,
    Crossing,
    cross_corridor,
    scaled_world,
)
from trajopt_sgp.studies.long_horizon.maze import explore
from trajopt_sgp.studies.long_horizon.maze_planning import MAZE_PLANNERS, Attempt, MazeModels, cross_maze
from trajopt_sgp.studies.runner import CellContext, StudyCell
from trajopt_sgp.studies.toys.training import TrainingBudget, load_toy_models, train_toy_models


@dataclass(frozen=True)
class Extent:
    """How much a study computes."""

    horizons: tuple[int, ...]
    """Of the corridor, multiples of 25."""
    seeds: tuple[int, ...]
    """Of data, models and starts."""
    budget: TrainingBudget
    """Of the models of the corridor."""
    crossing: Crossing
    """Of the corridor."""
    transitions: tuple[int, ...]
    """Sizes of the data of the maze."""
    steps: int | None
    """Of every training in the maze; None for the defaults of the library."""
    attempt: Attempt
    """Of the maze."""
    corridor_planners: tuple[str, ...] = CORRIDOR_PLANNERS
    """Which planners."""
    maze_planners: tuple[str, ...] = tuple(MAZE_PLANNERS)
    """Which planners."""


FULL = Extent(
    horizons=(50, 100, 200, 400, 800),
    seeds=(0,),
    budget=TrainingBudget(),
    crossing=Crossing(plans=8, seconds=3.0),
    transitions=(2_000, 30_000),
    steps=None,
    attempt=Attempt(episodes=5, starts=32, seconds=1.0, step_seconds=0.05, most_iterations=3000),
)
"""Five horizons, one seed, 3 s for each plan: somewhat less than a core-hour."""

REDUCED = Extent(
    horizons=(50,),
    seeds=(0,),
    budget=TrainingBudget(draws=5000, dynamics_steps=100, score_steps=100, energy_steps=100),
    crossing=Crossing(plans=1, seconds=0.1),
    transitions=(600,),
    steps=30,
    attempt=Attempt(episodes=1, starts=2, seconds=0.05, step_seconds=0.01, most_iterations=10),
    corridor_planners=("SGP, shooting", "energy, CEM"),
    maze_planners=("SGP, shooting",),
)
"""To see that every part runs."""


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells of the study."""
    extent = REDUCED if reduced else FULL
    corridor = [cell for place in product(extent.horizons, extent.seeds) for cell in _corridor_cells(extent, *place)]
    maze = [cell for place in product(extent.transitions, extent.seeds) for cell in _maze_cells(extent, *place)]
    return [*corridor, *maze]


def _corridor_cells(extent: Extent, horizon: int, seed: int) -> list[StudyCell]:
    common = {"horizon": horizon, "seed": seed, "budget": asdict(extent.budget)}
    place = f"T={horizon} seed={seed}"
    models = StudyCell(f"corridor models {place}", train_corridor, common)
    plans = [
        StudyCell(
            f"corridor {planner} {place}",
            plan_corridor,
            {**common, "planner": planner, "crossing": asdict(extent.crossing)},
            {"models": models},
        )
        for planner in extent.corridor_planners
    ]
    return [models, *plans]


def _maze_cells(extent: Extent, size: int, seed: int) -> list[StudyCell]:
    common, place = {"transitions": size, "seed": seed}, f"N={size} seed={seed}"
    models = StudyCell(f"maze models {place}", train_maze, {**common, "steps": extent.steps})
    plans = [
        StudyCell(
            f"maze {planner} {'replanned' if receding else 'open loop'} {place}",
            plan_maze,
            {**common, "planner": planner, "receding": receding, "attempt": asdict(extent.attempt)},
            {"models": models},
        )
        for planner, receding in product(extent.maze_planners, (False, True))
    ]
    return [models, *plans]


def train_corridor(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train the models of the corridor in steps of one length; they stay in the folder of the cell."""
    world, budget = scaled_world(settings["horizon"]), TrainingBudget(**settings["budget"])
    return {"kept": len(train_toy_models(world, budget, SIGMA_RANGE, settings["seed"], context.folder).data)}


def plan_corridor(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan in the corridor by one planner."""
    horizon, seed, budget = settings["horizon"], settings["seed"], TrainingBudget(**settings["budget"])
    models = load_toy_models(scaled_world(horizon), budget, SIGMA_RANGE, seed, context.inputs["models"].folder)
    return cross_corridor(settings["planner"], horizon, models, Crossing(**settings["crossing"]), seed)


def train_maze(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Explore the maze and train its models; they stay in the folder of the cell."""
    data, steps, seed = explore(settings["transitions"], settings["seed"]), settings["steps"], settings["seed"]
    dynamics = train_dynamics(data, shortened(DynamicsSettings(), steps), seed, context.folder / "dynamics")
    train_score(data, shortened(ScoreSettings(), steps), seed, context.folder / "score")
    train_energy(data, shortened(EnergySettings(), steps), seed, context.folder / "energy")
    return {"transitions": len(data), "one_step_error": dynamics.validation_rmse}


def plan_maze(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan and act in the maze by one planner, open loop or replanned."""
    folder = context.inputs["models"].folder
    models = MazeModels(
        load_model_as(LearnedDynamics, folder / "dynamics" / MODEL_FILE),
        load_model_as(ScoreNetwork, folder / "score" / MODEL_FILE),
        load_model_as(EnergyNetwork, folder / "energy" / MODEL_FILE),
    )
    planner, attempt = MAZE_PLANNERS[settings["planner"]], Attempt(**settings["attempt"])
    return cross_maze(planner, models, attempt, settings["receding"], settings["seed"])
