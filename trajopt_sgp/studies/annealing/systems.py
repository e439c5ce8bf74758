"""The systems on which choices are compared: what they train, and how they plan and judge."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import LIGHT_DARK, sample_point_mass_transitions
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.learning import MODEL_FILE, DynamicsSettings, ScoreSettings, train_dynamics, train_score
from trajopt_sgp.models import LearnedDynamics, ScoreNetwork, load_model_as
from trajopt_sgp.solvers import GradientDescent, prepare
from trajopt_sgp.studies.annealing.choices import Choice
from trajopt_sgp.studies.cart_pole.methods import Ingredients, Method, Numbers, Recipe
from trajopt_sgp.studies.cart_pole.models import shortened, study_data
from trajopt_sgp.studies.cart_pole.plan import GUESS_SEED, Budget, run_method
from trajopt_sgp.studies.toys.crossings import crossing_problem, draw_crossings, straight_guesses
from trajopt_sgp.studies.toys.planning import judge_walks, walk
from trajopt_sgp.studies.toys.settings import TOYS

DYNAMICS = "dynamics"
"""Kind of the model that is no score; the other kinds are architectures."""

_TOY_GUESSES = 30_000


@dataclass(frozen=True)
class Effort:
    """How much one planning costs."""

    starts: int
    """Plans in one batch of the cart-pole, and starts to each goal of light-dark."""
    goals: int
    """Goals of light-dark."""
    iterations: int
    """Of gradient descent."""


@dataclass(frozen=True)
class Models:
    """What a planner knows."""

    data: Transitions
    """What both were trained on."""
    dynamics: LearnedDynamics
    """One-step model."""
    score: ScoreNetwork
    """Gradient of the distance to data."""


class System(ABC):
    """One system; planners shoot by gradient descent."""

    name: ClassVar[str]
    """In labels and tables."""
    success: ClassVar[str]
    """When a plan succeeds, for the page."""
    sigmas: ClassVar[tuple[float, float]]
    """First and last σ of every schedule."""

    @abstractmethod
    def data(self, size: int, seed: int) -> Transitions:
        """Return transitions, about `size` of them, the same for the same numbers."""

    @abstractmethod
    def settings(self) -> tuple[DynamicsSettings, ScoreSettings]:
        """Return how both models are trained, but for the architecture of the score."""

    @abstractmethod
    def plan(self, models: Models, choice: Choice, effort: Effort, seed: int) -> dict[str, Any]:
        """Plan, and return `plans`, `successes`, and `costs`, one for each plan, by the true system."""

    def train(self, kind: str, size: int, seed: int, steps: int | None, folder: Path) -> dict[str, Any]:
        """Train one model, which stays in the folder; `steps` is None for the system's own number."""
        data, (one_step, denoising) = self.data(size, seed), self.settings()
        if kind == DYNAMICS:
            found: Any = train_dynamics(data, shortened(one_step, steps), seed, folder)
        else:
            found = train_score(data, replace(shortened(denoising, steps), architecture=kind), seed, folder)
        return {"training_seconds": found.seconds, "validation_loss": found.validation_loss}

    def load(self, size: int, seed: int, dynamics: Path, score: Path) -> Models:
        """Read what `train` has left in two folders."""
        return Models(
            self.data(size, seed),
            load_model_as(LearnedDynamics, dynamics / MODEL_FILE),
            load_model_as(ScoreNetwork, score / MODEL_FILE),
        )


class CartPole(System):
    """The swing-up by a planner that is not told where the motor ends; there guidance matters."""

    name = "cart-pole"
    success = "its true terminal cost is below 0.1; planners are not told the limits of the motor"
    sigmas = (0.3, 0.02)

    def data(self, size: int, seed: int) -> Transitions:
        """Return transitions under random forces."""
        return study_data(size, seed)

    def settings(self) -> tuple[DynamicsSettings, ScoreSettings]:
        """Return the defaults of the library."""
        return DynamicsSettings(), ScoreSettings()

    def plan(self, models: Models, choice: Choice, effort: Effort, seed: int) -> dict[str, Any]:
        """Plan from random guesses; the cost is the true terminal cost."""
        method = Method("", (), {}, {}, partial(self._recipe, models, choice, effort))
        known = Ingredients({"dynamics": models.dynamics}, models.data, force_limits=False)
        budget = Budget(np.inf, effort.starts)
        judged = run_method(method, known, {}, budget, GUESS_SEED + seed)
        kept = {name: judged[name] for name in ("plans", "successes", "planning_seconds")}
        return {**kept, "costs": judged["true_costs"]}

    def _recipe(self, models: Models, choice: Choice, effort: Effort, known: Ingredients, numbers: Numbers) -> Recipe:
        terms = choice.terms(models.score, self.sigmas)
        descent = GradientDescent(effort.iterations, step_size=0.3, annealing=0.6, adaptive=choice.adaptive)
        return Recipe(known.problem(*terms), SingleShooting(), descent)


class LightDark(System):
    """Crossing a hole in the data, of which the dynamics know nothing."""

    name = "light-dark"
    success = "no point of its true path is outside the data and its end is within 0.1 of the goal"
    sigmas = (0.3, 0.05)

    def data(self, size: int, seed: int) -> Transitions:
        """Return what the recipe of light-dark keeps of `size` draws."""
        return sample_point_mass_transitions(LIGHT_DARK, size, np.random.default_rng(seed))

    def settings(self) -> tuple[DynamicsSettings, ScoreSettings]:
        """Return the settings of the toys."""
        one_step = DynamicsSettings(hidden_sizes=(64, 64), steps=2000, validate_every=200)
        return one_step, ScoreSettings(weight_decay=0.02, sigma_range=TOYS["light-dark"].sigma_range)

    def plan(self, models: Models, choice: Choice, effort: Effort, seed: int) -> dict[str, Any]:
        """Plan from guesses around straight ways through the hole; the cost is the share of segments outside."""
        plan, generator = TOYS["light-dark"].plan, np.random.default_rng(_TOY_GUESSES + seed)
        crossings = draw_crossings(LIGHT_DARK, effort.goals, effort.starts, generator)
        terms = choice.terms(models.score, self.sigmas)
        problem = crossing_problem(LIGHT_DARK, models.dynamics, plan.horizon, terms)
        solver = replace(plan.shooting, iterations=effort.iterations, adaptive=choice.adaptive)
        prepared, paths = prepare(problem, SingleShooting(), solver), []
        for goal, starts in zip(crossings.goals, crossings.starts, strict=True):
            guess = straight_guesses(problem, LIGHT_DARK, starts, goal, plan.spread, generator)
            found = prepared.solve_batch(starts, guess, parameters={"goal": goal})
            paths += [walk(LIGHT_DARK, solution.trajectory) for solution in found]
        reached, outside = judge_walks(LIGHT_DARK, np.stack(paths), crossings)
        return {"plans": len(paths), "successes": int(reached.sum()), "costs": outside.tolist()}


SYSTEMS: Mapping[str, System] = {system.name: system for system in (CartPole(), LightDark())}
"""By name."""
