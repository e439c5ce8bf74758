"""The corridor in more and shorter steps: planners, and what becomes of their plans within the same time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trajopt_sgp.envs import CORRIDOR, PlanarWorld
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import CEM, MPPI, GradientDescent, Ipopt, PreparedSolve
from trajopt_sgp.studies.long_horizon.budget import PeakMemory, prepare_within
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.studies.toys.crossings import Crossings, draw_crossings, straight_guesses
from trajopt_sgp.studies.toys.planning import ToyPlan, ToyPlanner, judge_walks, planner_problem, walk
from trajopt_sgp.studies.toys.settings import TOYS
from trajopt_sgp.studies.toys.training import ToyModels

TUNED_HORIZON = 40
"""Horizon of the toy, whose gain and β are scaled from there."""

SIGMA_RANGE = TOYS["corridor"].sigma_range
"""Noise levels of the models."""

_BLOCKS = 25
_FIRST_STARTS = 20_000


@dataclass(frozen=True)
class Crossing:
    """How much is planned, and for how long."""

    plans: int
    """From as many starts, each to a goal of its own."""
    seconds: float
    """Processor time of one plan [s]; transcription and compilation do not count."""


def scaled_world(horizon: int) -> PlanarWorld:
    """Return the corridor whose largest step is 4 / T: over the horizon a point goes 4 at most in each coordinate.

    The way from arm to arm along both axes is about 2 long, so that the goal needs about half of the horizon.
    """
    return replace(CORRIDOR, gain=CORRIDOR.gain * TUNED_HORIZON / horizon)


def scaled_plan(horizon: int) -> ToyPlan:
    """Return the settings of the toy with β in proportion to 1 / T, since the distance is summed over the knots."""
    share, tuned = TUNED_HORIZON / horizon, TOYS["corridor"].plan
    return replace(tuned, horizon=horizon, beta=tuned.beta * share, energy_beta=tuned.energy_beta * share)


def corridor_planners(plan: ToyPlan) -> dict[str, ToyPlanner]:
    """Return the rows of the table by name."""
    shooting, transcription, descent = SingleShooting(), DirectTranscription(), plan.shooting
    score, energy = Guidance(plan.beta, *plan.sigmas), Guidance(plan.energy_beta, *plan.energy_sigmas)
    return {
        "β = 0, shooting": ToyPlanner(shooting, descent),
        "SGP, shooting": ToyPlanner(shooting, descent, score),
        "SGP, transcription by descent": ToyPlanner(transcription, GradientDescent(step_size=0.1), score),
        "energy, transcription by Ipopt": ToyPlanner(transcription, Ipopt(tolerance=1e-6), energy, by_energy=True),
        "energy, CEM": ToyPlanner(shooting, CEM(), energy, by_energy=True),
        "energy, MPPI": ToyPlanner(shooting, MPPI(), energy, by_energy=True),
    }


CORRIDOR_PLANNERS = tuple(corridor_planners(scaled_plan(TUNED_HORIZON)))
"""Their names."""


def cross_corridor(name: str, horizon: int, models: ToyModels, crossing: Crossing, seed: int) -> dict[str, Any]:
    """Plan one after another, the same time for each, and walk every plan in the true world."""
    world, plan = scaled_world(horizon), scaled_plan(horizon)
    planner, generator = corridor_planners(plan)[name], np.random.default_rng(_FIRST_STARTS + seed)
    problem = _blocked(planner_problem(planner, plan, world, models), planner)
    crossings = draw_crossings(world, crossing.plans, 1, generator)
    guesses = [
        straight_guesses(problem, world, starts, goal, plan.spread, generator)
        for goal, starts in zip(crossings.goals, crossings.starts, strict=True)
    ]
    with PeakMemory() as memory:
        solutions, seconds = _plan_all(problem, planner, crossings, guesses, crossing.seconds)
    paths = np.stack([walk(world, solution.trajectory) for solution in solutions])
    reached, outside = judge_walks(world, paths, crossings)
    return {
        "plans": len(paths),
        "successes": int(reached.sum()),
        "inside": int((outside == 0.0).sum()),
        "missed_median": float(np.median(np.linalg.norm(paths[:, -1] - crossings.goals, axis=1))),
        "iterations": [solution.iterations for solution in solutions],
        "seconds": seconds,
        "megabytes": memory.megabytes,
        "status": [solution.status.label for solution in solutions],
    }


def _blocked(problem: OptimalControlProblem, planner: ToyPlanner) -> OptimalControlProblem:
    """Return the problem with few moves where a planner draws samples, and as it is otherwise."""
    if not isinstance(planner.solver, CEM | MPPI):
        return problem
    return problem.replaced(move_blocks=[problem.horizon // _BLOCKS] * _BLOCKS)


def _plan_all(
    problem: OptimalControlProblem,
    planner: ToyPlanner,
    crossings: Crossings,
    guesses: Sequence[Trajectory],
    seconds: float,
) -> tuple[list[Solution], list[float]]:
    """Return the plans and the processor time that each took [s]."""

    def solve(prepared: PreparedSolve, k: int) -> Solution:
        return prepared.solve_batch(crossings.starts[k], guesses[k], parameters={"goal": crossings.goals[k]})[0]

    prepared = prepare_within(problem, planner.formulation, planner.solver, seconds, lambda trial: solve(trial, 0))
    solve(prepared, 0)
    solutions, ends = [], [time.process_time()]
    for k in range(len(guesses)):
        solutions.append(solve(prepared, k))
        ends.append(time.process_time())
    return solutions, np.diff(ends).tolist()
