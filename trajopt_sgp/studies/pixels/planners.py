"""The planners that are compared: an uncertainty, and a way to search for the plan that it allows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import ImageTransitions
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.learning import coarse_normalizer, coarse_transitions
from trajopt_sgp.models import CoarseScore, EnsembleDynamics
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.solvers import GradientDescent
from trajopt_sgp.solvers.solve import prepare
from trajopt_sgp.studies.pixels.drawings import Drawing, FreePixels, SplineComponents, SplineDiscs
from trajopt_sgp.studies.pixels.guided import PixelGuidance, bent_guesses, descend, roll_out_plan
from trajopt_sgp.studies.pixels.models import PixelModels
from trajopt_sgp.studies.pixels.planning import HORIZON, pixel_problem
from trajopt_sgp.studies.pixels.sampled import SampledSearch
from trajopt_sgp.studies.pixels.transcription import TransitionGuidance, plan_by_scores
from trajopt_sgp.uncertainty import DataDistance, EnsembleVariance, ExactSmoothedDistance

NEIGHBORS = 64
"""Of the exact smoothed distance; at its small σ no other data count."""
_COMPONENTS_SEED = 7


@dataclass(frozen=True)
class Planner:
    """What a plan pays for leaving the data, and how it is found."""

    uncertainty: Literal["score", "none", "ensemble", "exact", "transitions"]
    """The distances of two scores; nothing; the variance of an ensemble; the exact distance of coarse pictures, beside
    the score of pixels; the distance of coarse (x, u, x'), in place of the dynamics too."""
    search: Literal["descent", "none", "cem", "mppi"]
    """Gradient descent, the best guess as it is, or samples."""
    drawing: Literal["pixels", "discs", "components"] = "pixels"
    """What is sampled."""


PLANNERS: Mapping[str, Planner] = {
    "guided": Planner("score", "descent"),
    "unguided": Planner("none", "descent"),
    "best guess": Planner("score", "none"),
    "score transcription": Planner("transitions", "descent"),
    "exact distance": Planner("exact", "descent"),
    "ensemble gradient": Planner("ensemble", "descent"),
    "ensemble CEM": Planner("ensemble", "cem"),
    "CEM": Planner("score", "cem"),
    "MPPI": Planner("score", "mppi"),
    "CEM, components": Planner("score", "cem", "components"),
    "MPPI, components": Planner("score", "mppi", "components"),
    "CEM, discs": Planner("score", "cem", "discs"),
    "MPPI, discs": Planner("score", "mppi", "discs"),
}
"""By name, in the order of the table."""


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What planners are made of."""

    world: PixelWorld
    """What is seen and how."""
    models: PixelModels
    """Dynamics, the same for all planners, and scores."""
    ensemble: EnsembleDynamics | None = None
    """For planners whose uncertainty it is."""
    coarse: CoarseScore | None = None
    """The exact distance, for planners whose uncertainty it is."""
    transitions: CoarseScore | None = None
    """The distance of coarse (x, u, x'), for the planner that has it in place of dynamics."""


@dataclass(frozen=True)
class Effort:
    """What a planner may do, and its settings."""

    guidance: PixelGuidance
    """Weights of distances, guesses, and the descent."""
    without_dynamics: TransitionGuidance
    """The same for the planner that has no dynamics."""
    search: SampledSearch
    """How samples are drawn; its rule is that of the planner."""
    seconds: float = 30.0
    """Of one core, for planners that sample."""
    ensemble_weight: float = 1.0
    """β of the variance of the ensemble."""
    points: int = 6
    """Control points of splines."""
    components: int = 12
    """Principal components of control pictures."""


@dataclass(frozen=True, eq=False)
class PixelPlan:
    """What a planner found."""

    problem: OptimalControlProblem
    """What was minimised."""
    trajectory: Trajectory
    """The plan, its states as the dynamics imagine them."""
    evaluations: int
    """Plans that were imagined, with a gradient or without."""

    @property
    def variables(self) -> int:
        """Pixels that were searched for: those of the controls, and of the states where no dynamics make them."""
        controls = int(self.trajectory.controls.size)
        return controls if self.problem.dynamics is not None else controls + int(self.trajectory.states.size)


def make_plan(
    planner: Planner,
    ingredients: Ingredients,
    pair: tuple[FloatArray, FloatArray],
    effort: Effort,
    generator: np.random.Generator,
    horizon: int = HORIZON,
) -> PixelPlan:
    """Return the plan of a planner from start to goal `(2,)`.

    Raises:
        OptionError: the ensemble, the exact distance or that of transitions is missing.
    """
    if planner.uncertainty == "transitions":
        return _transcribed(ingredients, pair, effort, horizon)
    world, dynamics, guidance = ingredients.world, ingredients.models.dynamics, effort.guidance
    terms = uncertainty_terms(planner, ingredients, effort)
    problem = pixel_problem(world, dynamics, *pair, terms, horizon)
    guesses = bent_guesses(world, problem, pair, guidance, generator)
    if planner.search == "none":
        return PixelPlan(problem, roll_out_plan(problem, dynamics, guesses.controls[0]), guidance.guesses)
    if planner.search == "descent":
        solution = descend(problem, guidance, guesses)
        return PixelPlan(problem, solution.trajectory, guidance.guesses + len(solution.log) * guidance.kept)
    drawing = make_drawing(planner, world, horizon, effort)
    prepared = prepare(problem, SingleShooting(), GradientDescent())
    states = np.broadcast_to(problem.start, (horizon + 1, problem.state_size))

    def merit(controls: FloatArray) -> FloatArray:
        plans = Trajectory(np.broadcast_to(states, (1, len(controls), *states.shape)), controls[None], 1.0)
        costs: FloatArray = prepared.merits(plans, problem.start[None])[0]
        return costs

    search = replace(effort.search, rule=planner.search)
    controls, count = search.run(merit, drawing, drawing.numbers(guesses.controls[0]), effort.seconds, generator)
    return PixelPlan(problem, roll_out_plan(problem, dynamics, controls), guidance.guesses + count)


def _transcribed(
    ingredients: Ingredients, pair: tuple[FloatArray, FloatArray], effort: Effort, horizon: int
) -> PixelPlan:
    if ingredients.transitions is None:
        raise OptionError("A planner without dynamics needs the distance of transitions among its ingredients.")
    scores = ingredients.transitions, ingredients.models.score
    problem, solution = plan_by_scores(ingredients.world, *scores, pair, effort.without_dynamics, horizon)
    return PixelPlan(problem, solution.trajectory, len(solution.log))


def uncertainty_terms(planner: Planner, ingredients: Ingredients, effort: Effort) -> list[DataDistance]:
    """Return the costs of leaving the data.

    Raises:
        OptionError: the ensemble or the exact distance is missing.
    """
    guidance, models = effort.guidance, ingredients.models
    if planner.uncertainty == "none":
        return []
    if planner.uncertainty == "ensemble":
        if ingredients.ensemble is None:
            raise OptionError("A planner with an ensemble needs one among its ingredients.")
        return [DataDistance(EnsembleVariance(ingredients.ensemble), effort.ensemble_weight, name="ensemble")]
    if planner.uncertainty == "exact":
        if ingredients.coarse is None:
            raise OptionError("A planner with the exact distance needs it among its ingredients.")
        models = replace(models, coarse=ingredients.coarse)
    return guidance.costs(models)


def make_drawing(planner: Planner, world: PixelWorld, horizon: int, effort: Effort) -> Drawing:
    """Return what a planner samples."""
    if planner.drawing == "discs":
        return SplineDiscs(world, horizon, effort.points)
    if planner.drawing == "components":
        generator = np.random.default_rng(_COMPONENTS_SEED)
        return SplineComponents(world, horizon, effort.points, effort.components, generator)
    return FreePixels(world, horizon)


def exact_coarse_score(images: ImageTransitions) -> CoarseScore:
    """Return the exact smoothed distance of coarse pictures, all data but the nearest 64 left out."""
    transitions = coarse_transitions(images)
    exact = ExactSmoothedDistance(transitions, coarse_normalizer(transitions), NEIGHBORS, (0.01, 0.5))
    return CoarseScore(exact)
