"""Plans of a toy from many starts, by shooting with a learned score and by transcription with an energy network."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.envs import PlanarWorld, segments_outside
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.solvers import GradientDescent, Ipopt, prepare
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.studies.toys.crossings import Crossings, crossing_problem, straight_guesses
from trajopt_sgp.studies.toys.training import ToyModels
from trajopt_sgp.uncertainty import DataDistance

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ToyPlanner:
    """One row of the table of a toy."""

    name: str
    """What it is called."""
    formulation: Formulation
    """How the problem is transcribed."""
    solver: Solver
    """How it is solved."""
    guidance: Guidance
    """Its cost; β = 0 for none."""
    upper: float | None = None
    """Length to the data that it allows as a constraint, at the last σ of its guidance."""
    by_energy: bool = False
    """Whether the distance is an energy network's; else a score network's."""


@dataclass(frozen=True)
class ToyRow:
    """What a planner gave."""

    planner: ToyPlanner
    """Which planner."""
    paths: FloatArray
    """True states under the controls of its plans, `(P, N+1, 2)`."""
    summary: Mapping[str, Any]
    """Its row in the table."""


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
    """First and last noise level in transcription; the last is that of the constraint."""
    upper: float
    """Length to the data that the constraint allows."""
    spread: float
    """Noise of the guesses around the straight way, in limits of the controls."""
    shooting: GradientDescent
    """Settings of shooting."""

    def planners(self) -> list[ToyPlanner]:
        """Return the rows of the table."""
        start, stop = self.sigmas
        first, last = self.energy_sigmas
        none = Guidance(0.0, first, last)
        transcription = DirectTranscription()
        return [
            ToyPlanner("β = 0, shooting", SingleShooting(), self.shooting, Guidance(0.0, start, stop)),
            ToyPlanner("SGP, shooting", SingleShooting(), self.shooting, Guidance(self.beta, start, stop)),
            ToyPlanner("β = 0, Ipopt", transcription, Ipopt(), none, by_energy=True),
            ToyPlanner(
                "energy as cost, Ipopt", transcription, Ipopt(), Guidance(self.energy_beta, first, last), None, True
            ),
            ToyPlanner("energy as constraint, Ipopt", transcription, Ipopt(), none, self.upper, True),
        ]


def run_toy_planner(
    planner: ToyPlanner, plan: ToyPlan, world: PlanarWorld, models: ToyModels, crossings: Crossings, seed: int
) -> ToyRow:
    """Plan from every start to its goal and walk every plan in the true world."""
    model = models.energy if planner.by_energy else models.score
    bound = [DataDistance(models.energy, sigma=planner.guidance.sigma_stop, upper=planner.upper)]
    problem = crossing_problem(
        world, models.dynamics, plan.horizon, planner.guidance.term(model), bound if planner.upper else ()
    )
    prepared = prepare(problem, planner.formulation, planner.solver)
    generator, begin, solutions = np.random.default_rng(seed), time.perf_counter(), []
    for goal, starts in zip(crossings.goals, crossings.starts, strict=True):
        guess = straight_guesses(problem, world, starts, goal, plan.spread, generator)
        solutions += prepared.solve_batch(starts, guess, parameters={"goal": goal})
    seconds = (time.perf_counter() - begin) / len(solutions)
    paths = np.stack([walk(world, solution.trajectory) for solution in solutions])
    statuses = [solution.status.label for solution in solutions]
    lengths = np.stack([_true_lengths(models, path, s.trajectory) for path, s in zip(paths, solutions, strict=True)])
    summary = {
        **_settings(planner, plan),
        **judge_paths(world, paths, crossings),
        "nearest_data_max": float(lengths.max()),
        "status": {label: statuses.count(label) for label in sorted(set(statuses))},
        "seconds_per_plan": seconds,
    }
    return ToyRow(planner, paths, summary)


def walk(world: PlanarWorld, plan: Trajectory) -> FloatArray:
    """Return the states `(N+1, 2)` of the true world under the controls of a plan, within their limits."""
    controls = np.clip(plan.controls, -world.control_limit, world.control_limit)
    states = [plan.states[0]]
    for control in controls:
        states.append(world.step(states[-1], control))
    return np.stack(states)


def judge_paths(world: PlanarWorld, paths: FloatArray, crossings: Crossings) -> dict[str, Any]:
    """Return how many paths `(P, N+1, 2)`, and which share of their knots and segments, leave the region.

    A path counts as inside only if no point of any of its segments is outside.
    """
    segments = segments_outside(world.region, paths)
    goals = np.repeat(crossings.goals, crossings.starts.shape[1], axis=0)
    missed = np.linalg.norm(paths[:, -1] - goals, axis=1)
    return {
        "paths": len(paths),
        "inside_rate": float((~segments.any(axis=1)).mean()),
        "knots_outside": float((~world.region.contains(paths)).mean()),
        "segments_outside": float(segments.mean()),
        "goal_missed_median": float(np.median(missed)),
        "goal_missed_max": float(missed.max()),
    }


def _true_lengths(models: ToyModels, path: FloatArray, plan: Trajectory) -> FloatArray:
    z = models.exact.normalizer.normalize(np.hstack([path[:-1], plan.controls]))
    return models.exact.nearest(z)


def _settings(planner: ToyPlanner, plan: ToyPlan) -> dict[str, Any]:
    guidance, solver = planner.guidance, planner.solver
    guided = guidance.beta > 0.0
    steps = solver.iterations if isinstance(solver, GradientDescent) else None
    return {
        "name": planner.name,
        "formulation": planner.formulation.name,
        "solver": solver.name,
        "iterations": steps,
        "distance": ("energy" if planner.by_energy else "score") if guided or planner.upper else None,
        "beta": guidance.beta,
        "weighting": "sigma2" if guided else None,
        "sigma_schedule": [guidance.sigma_start, guidance.sigma_stop] if guided else None,
        "constraint": [planner.upper, guidance.sigma_stop] if planner.upper else None,
        "horizon": plan.horizon,
        "spread": plan.spread,
    }
