"""Guided plans in pixels: from paths bent at random, down the costs and the distances to data."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.studies.pixels.models import PixelModels
from trajopt_sgp.studies.pixels.planning import HORIZON, pixel_problem
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

FloatArray = NDArray[np.float64]

_FINE = 400


@dataclass(frozen=True)
class PixelGuidance:
    """How a plan is held to the data, and how long it is searched for.

    The distance between pixels keeps pictures looking like pictures: σ is small, for a large one blurs even discs of
    the data. The distance between coarse pictures keeps discs where discs of the data are.
    """

    pixel_weight: float = 100.0
    """β of the distance between pixels, weighted by σ²; 0 for none."""
    pixel_sigma: tuple[float, float] = (0.15, 0.08)
    """σ of it at the start and at the end."""
    coarse_weight: float = 4000.0
    """β of the distance between coarse pictures, weighted by σ²; 0 for none."""
    coarse_sigma: tuple[float, float] = (0.10, 0.03)
    """σ of it at the start and at the end."""
    guesses: int = 16
    """Paths bent at random that are imagined."""
    kept: int = 2
    """How many of the guesses, those of least imagined cost, are improved."""
    largest_bend: float = 0.8
    """Largest distance of a bent path from the straight line."""
    iterations: int = 70
    """Of gradient descent."""
    step_size: float = 7e-4
    """Of gradient descent: Nesterov momentum of 0.9, not Adam, which moves dark pixels as far as bright ones."""

    def costs(self, models: PixelModels) -> list[DataDistance]:
        """Return the distances to data; none of weight zero."""
        pixels = DataDistance(
            models.score, self.pixel_weight, schedule=GeometricSchedule(*self.pixel_sigma), name="pixels"
        )
        coarse = DataDistance(
            models.coarse, self.coarse_weight, schedule=GeometricSchedule(*self.coarse_sigma), name="coarse"
        )
        return [term for term in (pixels, coarse) if term.weight > 0.0]

    @property
    def solver(self) -> GradientDescent:
        """The solver of guided shooting."""
        return GradientDescent(
            iterations=self.iterations,
            step_size=self.step_size,
            final_step=0.2,
            patience=self.iterations,
            optimizer=torch.optim.SGD,
            optimizer_options={"momentum": 0.9, "nesterov": True},
            longest_gradient=3000.0,
        )


def plan_pixels(
    world: PixelWorld,
    models: PixelModels,
    start: ArrayLike,
    goal: ArrayLike,
    guidance: PixelGuidance,
    generator: np.random.Generator,
    horizon: int = HORIZON,
) -> tuple[OptimalControlProblem, Solution]:
    """Plan by single shooting; return the problem and the best plan, in imagined cost with distances.

    Args:
        world: what is seen and how.
        models: dynamics and scores.
        start: position `(2,)`.
        goal: position `(2,)`.
        guidance: weights and effort.
        generator: source of the bends of the guesses.
        horizon: number of steps.
    """
    problem, imagined = _imagine(world, models, start, goal, guidance, generator, horizon)
    best = [solution.trajectory for solution in imagined[: guidance.kept]]
    return problem, solve(problem, SingleShooting(), guidance.solver, _stack(best))


def best_guess(
    world: PixelWorld,
    models: PixelModels,
    start: ArrayLike,
    goal: ArrayLike,
    guidance: PixelGuidance,
    generator: np.random.Generator,
    horizon: int = HORIZON,
) -> tuple[OptimalControlProblem, Solution]:
    """Return the problem and the guess from which `plan_pixels`, with the same arguments, sets out."""
    problem, imagined = _imagine(world, models, start, goal, guidance, generator, horizon)
    return problem, imagined[0]


def _imagine(
    world: PixelWorld,
    models: PixelModels,
    start: ArrayLike,
    goal: ArrayLike,
    guidance: PixelGuidance,
    generator: np.random.Generator,
    horizon: int,
) -> tuple[OptimalControlProblem, list[Solution]]:
    """Return the problem, and paths bent at random as the networks imagine them, the best first."""
    problem = pixel_problem(world, models.dynamics, start, goal, guidance.costs(models), horizon)
    bends = generator.uniform(-guidance.largest_bend, guidance.largest_bend, guidance.guesses)
    guesses = _stack([bent_guess(world, start, goal, bend, horizon) for bend in bends.tolist()])
    imagined = solve(problem, SingleShooting(), replace(guidance.solver, iterations=1), guesses).starts
    return problem, sorted(imagined, key=lambda solution: solution.cost)


def bent_guess(world: PixelWorld, start: ArrayLike, goal: ArrayLike, bend: float, horizon: int) -> Trajectory:
    """Return discs of states and controls along a half wave that is `bend` away from the straight line in the middle.

    All steps are equally long.
    """
    first, last = (np.asarray(place, dtype=np.float64) for place in (start, goal))
    way = last - first
    across = np.array([-way[1], way[0]]) / np.linalg.norm(way)
    share = np.linspace(0.0, 1.0, _FINE)[:, None]
    fine = first + share * way + bend * np.sin(np.pi * share) * across
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(fine, axis=0), axis=1).cumsum()])
    knots = np.linspace(0.0, length[-1], horizon + 1)
    path = np.stack([np.interp(knots, length, fine[:, axis]) for axis in range(2)], axis=1)
    states, controls = world.state_picture(path), world.control_picture(np.diff(path, axis=0))
    return Trajectory(states.astype(np.float64), controls.astype(np.float64), 1.0)


def _stack(guesses: list[Trajectory]) -> Trajectory:
    states, controls = (np.stack([getattr(guess, name) for guess in guesses]) for name in ("states", "controls"))
    return Trajectory(states, controls, 1.0)
