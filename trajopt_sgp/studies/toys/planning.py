"""Plans of a toy from many starts, by shooting with a learned score and by transcription with an energy network."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.envs import PlanarWorld, depth_outside, segments_outside
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.solvers import GradientDescent, Ipopt, prepare
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.studies.toys.compact import pack_array
from trajopt_sgp.studies.toys.crossings import Crossings, crossing_problem, straight_guesses
from trajopt_sgp.studies.toys.training import ToyModels
from trajopt_sgp.uncertainty import DataDistance

GOAL_RADIUS = 0.1
"""Distance from its goal within which the end of a path counts as having arrived."""


@dataclass(frozen=True)
class ToyPlanner:
    """One row of the table of a toy."""

    formulation: Formulation
    """How the problem is transcribed."""
    solver: Solver
    """How it is solved."""
    guidance: Guidance | None = None
    """Its distance to data among the costs."""
    by_energy: bool = False
    """Whether that distance is an energy network's; else a score network's."""
    bound: tuple[float, float] | None = None
    """Length to the data that it allows as a constraint, by an energy network at the noise level beside it."""


@dataclass(frozen=True)
class ToyPlan:
    """How the plans of one world are made; β counts only with its weighting, which is σ², and the σ beside it."""

    horizon: int
    """Number of steps N."""
    beta: float
    """Weight of the distance to data in shooting."""
    sigmas: tuple[float, float]
    """First and last noise level of shooting."""
    energy_beta: float
    """Weight of the energy network in transcription."""
    energy_sigmas: tuple[float, float]
    """First and last noise level in transcription."""
    bound: tuple[float, float]
    """Length to the data that the constraint allows, and its noise level."""
    spread: float
    """Noise of the guesses around the straight way, in limits of the controls."""
    shooting: GradientDescent
    """Settings of shooting."""

    def planners(self) -> dict[str, ToyPlanner]:
        """Return the rows of the table by name."""
        shooting, transcription = SingleShooting(), DirectTranscription()
        energy = Guidance(self.energy_beta, *self.energy_sigmas)
        return {
            "β = 0, shooting": ToyPlanner(shooting, self.shooting),
            "SGP, shooting": ToyPlanner(shooting, self.shooting, Guidance(self.beta, *self.sigmas)),
            "β = 0, Ipopt": ToyPlanner(transcription, Ipopt()),
            "energy as cost, Ipopt": ToyPlanner(transcription, Ipopt(), energy, by_energy=True),
            "energy as constraint, Ipopt": ToyPlanner(transcription, Ipopt(), bound=self.bound),
        }


def run_toy_planner(
    planner: ToyPlanner, plan: ToyPlan, world: PlanarWorld, models: ToyModels, crossings: Crossings, seed: int
) -> dict[str, Any]:
    """Plan from every start to its goal and walk every plan in the true world.

    Returns:
        What became of the plans, `settings` of the planner and `paths` `(P, N+1, 2)` among it.
    """
    problem = planner_problem(planner, plan, world, models)
    prepared = prepare(problem, planner.formulation, planner.solver)
    generator, begin, solutions = np.random.default_rng(seed), time.perf_counter(), []
    for goal, starts in zip(crossings.goals, crossings.starts, strict=True):
        guess = straight_guesses(problem, world, starts, goal, plan.spread, generator)
        solutions += prepared.solve_batch(starts, guess, parameters={"goal": goal})
    seconds = (time.perf_counter() - begin) / len(solutions)
    paths = np.stack([walk(world, solution.trajectory) for solution in solutions])
    controls = np.stack([solution.trajectory.controls for solution in solutions])
    statuses = [solution.status.label for solution in solutions]
    return {
        "settings": _settings(planner, plan),
        **judge_paths(world, paths, crossings),
        "farthest_from_data": farthest_from_data(models, paths, controls),
        "status": {label: statuses.count(label) for label in sorted(set(statuses))},
        "seconds_per_plan": seconds,
        "paths": pack_array(paths),
    }


def planner_problem(planner: ToyPlanner, plan: ToyPlan, world: PlanarWorld, models: ToyModels) -> OptimalControlProblem:
    """Return the problem that a planner solves; its goal is a parameter."""
    model = models.energy if planner.by_energy else models.score
    costs = [] if planner.guidance is None else planner.guidance.term(model)
    bounds = []
    if planner.bound is not None:
        upper, sigma = planner.bound
        bounds = [DataDistance(models.energy, sigma=sigma, upper=upper, name="data_bound")]
    return crossing_problem(world, models.dynamics, plan.horizon, costs, bounds)


def walk(world: PlanarWorld, plan: Trajectory) -> FloatArray:
    """Return the states `(N+1, 2)` of the true world under the controls of a plan, within their limits."""
    controls = np.clip(plan.controls, -world.control_limit, world.control_limit)
    states = [plan.states[0]]
    for control in controls:
        states.append(world.step(states[-1], control))
    return np.stack(states)


def judge_paths(world: PlanarWorld, paths: FloatArray, crossings: Crossings) -> dict[str, Any]:
    """Return how many paths `(P, N+1, 2)`, and which share of their knots and segments, leave the region; and how far.

    A path counts as inside only if no point of any of its segments is outside.
    """
    segments = segments_outside(world.region, paths)
    goals = np.repeat(crossings.goals, crossings.starts.shape[1], axis=0)
    missed = np.linalg.norm(paths[:, -1] - goals, axis=1)
    return {
        "paths_made": len(paths),
        "paths_inside": int((~segments.any(axis=1)).sum()),
        "knots_outside": float((~world.region.contains(paths)).mean()),
        "segments_outside": float(segments.mean()),
        "deepest_outside": float(depth_outside(world.region, paths).max()),
        "goal_missed_median": float(np.median(missed)),
        "goal_missed_max": float(missed.max()),
    }


def judge_walks(world: PlanarWorld, paths: FloatArray, crossings: Crossings) -> tuple[BoolArray, FloatArray]:
    """Return which paths `(P, N+1, 2)` stay inside and end near their goals, and their shares outside.

    The share is that of the segments that have a point outside the region, `(P,)`.
    """
    outside = segments_outside(world.region, paths)
    goals = np.repeat(crossings.goals, crossings.starts.shape[1], axis=0)
    arrived = np.linalg.norm(paths[:, -1] - goals, axis=1) <= GOAL_RADIUS
    return ~outside.any(axis=1) & arrived, outside.mean(axis=1)


def farthest_from_data(models: ToyModels, paths: FloatArray, controls: FloatArray) -> float:
    """Return the largest distance of any knot (x, u) to its nearest data point, in normalised coordinates."""
    z = models.exact.normalizer.normalize(np.concatenate([paths[:, :-1], controls], axis=-1))
    return float(models.exact.nearest(z).max())


def _settings(planner: ToyPlanner, plan: ToyPlan) -> dict[str, Any]:
    guidance, solver = planner.guidance, planner.solver
    return {
        "formulation": planner.formulation.name,
        "solver": solver.name,
        "iterations": solver.iterations if isinstance(solver, GradientDescent) else None,
        "step_size": solver.step_size if isinstance(solver, GradientDescent) else None,
        "distance": None if guidance is None else "energy" if planner.by_energy else "score",
        "beta": 0.0 if guidance is None else guidance.beta,
        "weighting": None if guidance is None else "sigma2",
        "sigma_schedule": None if guidance is None else [guidance.sigma_start, guidance.sigma_stop],
        "bound": None if planner.bound is None else list(planner.bound),
        "horizon": plan.horizon,
        "spread": plan.spread,
    }
