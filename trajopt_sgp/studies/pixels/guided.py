"""Guided plans in pixels: from paths bent at random, down the costs and the distances to data."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.derivatives.rollout import roll_out
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.problem import Dynamics, OptimalControlProblem, Parameters, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.solvers.solve import prepare
from trajopt_sgp.studies.pixels.models import PixelModels
from trajopt_sgp.studies.pixels.planning import HORIZON, RESOLUTION, pixel_problem
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

_FINE = 400


@dataclass(frozen=True)
class PixelGuidance:
    """How a plan is held to the data, and how long it is searched for.

    The distance between pixels keeps pictures looking like pictures: σ is small, for a large one blurs even discs of
    the data. The distance between coarse pictures keeps discs where discs of the data are.
    """

    pixel_weight: float = 50.0
    """β of the distance between pixels, weighted by σ²; 0 for none."""
    pixel_sigma: tuple[float, float] = (0.15, 0.08)
    """σ of it at the start and at the end."""
    coarse_weight: float = 8000.0
    """β of the distance between coarse pictures, weighted by σ²; 0 for none."""
    coarse_sigma: tuple[float, float] = (0.04, 0.02)
    """σ of it at the start and at the end; small, for in the middle of the hole a large one sees data all around."""
    guesses: int = 1
    """Paths bent at random that are imagined; 1 for the straight line alone."""
    kept: int = 1
    """How many of the guesses, those of least imagined cost, are improved."""
    largest_bend: float = 0.8
    """Largest distance of a bent path from the straight line."""
    iterations: int = 60
    """Of gradient descent."""
    step_size: float = 5e-2
    """Of gradient descent: Nesterov momentum of 0.9, not Adam, which moves dark pixels as far as bright ones."""

    longest_gradient: float = 3000.0
    """Norm to which a longer gradient is shortened."""

    def at(self, resolution: int, horizon: int = HORIZON) -> "PixelGuidance":
        """Return the same guidance for pictures of so many pixels a side, and so many steps; made for 32 and 15.

        Positions move as far in an iteration, and distances of pixels weigh as much: a disc has more pixels, and each
        moves its centroid less. The last position feels the steps of all controls, so that more of them take shorter
        steps.
        """
        finer, longer = resolution / RESOLUTION, horizon / HORIZON
        return replace(
            self,
            pixel_weight=self.pixel_weight / finer**2,
            pixel_sigma=(self.pixel_sigma[0] * finer, self.pixel_sigma[1] * finer),
            step_size=self.step_size * finer**2 / longer,
            longest_gradient=self.longest_gradient / finer,
        )

    def costs(self, models: PixelModels) -> list[DataDistance]:
        """Return the distances to data; none of weight zero."""
        pixels = DataDistance(
            models.score, self.pixel_weight, schedule=GeometricSchedule(*self.pixel_sigma), name="pixels"
        )
        coarse = DataDistance(
            models.coarse, self.coarse_weight, schedule=GeometricSchedule(*self.coarse_sigma), name="coarse"
        )
        return [term for term in (pixels, coarse) if term.weight > 0.0]

    def distance_cost(self, models: PixelModels, plan: Trajectory) -> float:
        """Return what the distances to data add to the cost of a plan, in values at the end of their schedules."""
        states, controls = (torch.as_tensor(a, dtype=torch.float32) for a in (plan.states[:-1], plan.controls))
        end = Parameters(states[0], 1.0)
        with torch.no_grad():
            terms = [term.face(needs_value=True).function(states, controls, end) for term in self.costs(models)]
        return float(sum(term.sum() for term in terms))

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
            longest_gradient=self.longest_gradient,
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
    problem = pixel_problem(world, models.dynamics, start, goal, guidance.costs(models), horizon)
    return problem, descend(problem, guidance, bent_guesses(world, problem, (start, goal), guidance, generator))


def descend(problem: OptimalControlProblem, guidance: PixelGuidance, guesses: Trajectory) -> Solution:
    """Return the best of the plans to which gradient descent leads from the first of the guesses `(S, ...)`."""
    best = Trajectory(guesses.states[: guidance.kept], guesses.controls[: guidance.kept], 1.0)
    return solve(problem, SingleShooting(), guidance.solver, best)


def bent_guesses(
    world: PixelWorld,
    problem: OptimalControlProblem,
    pair: tuple[ArrayLike, ArrayLike],
    guidance: PixelGuidance,
    generator: np.random.Generator,
) -> Trajectory:
    """Return paths bent at random `(S, ...)`, the one of least imagined cost first; a single one is straight."""
    bends = generator.uniform(-guidance.largest_bend, guidance.largest_bend, guidance.guesses)
    paths = [bent_guess(world, *pair, bend, problem.horizon) for bend in (bends.tolist() if len(bends) > 1 else [0.0])]
    bent = Trajectory.stack(paths)
    prepared = prepare(problem, SingleShooting(), guidance.solver)
    merits = prepared.merits(Trajectory.stack([bent]), problem.start[None])[0]
    return bent.select(np.argsort(merits, kind="stable"))


def roll_out_plan(problem: OptimalControlProblem, dynamics: Dynamics, controls: ArrayLike) -> Trajectory:
    """Return the plan that the dynamics imagine under control pictures `(N, m)`."""
    drives = torch.as_tensor(np.asarray(controls), dtype=problem.dtype)
    start = torch.as_tensor(np.array(problem.start), dtype=problem.dtype)
    with torch.no_grad():
        states = roll_out(dynamics, start, drives)
    return Trajectory(states.double().numpy(), np.asarray(controls, dtype=np.float64), 1.0)


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
