"""Open-loop plans of the swing-up, each judged by the true system."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, CartPoleParameters, cartpole_swing_up_cost
from trajopt_sgp.envs.cartpole_equations import STATE_BOX_HIGH, STATE_BOX_LOW
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, Ipopt, prepare, random_guesses
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.swing_up import SUCCESS_COST, Guidance, swing_up_problem
from trajopt_sgp.studies.training import TrainedModels
from trajopt_sgp.uncertainty.amplification import error_amplification


@dataclass(frozen=True)
class Planner:
    """One row of the table of plans."""

    name: str
    """What it is called in tables and pictures."""
    formulation: Formulation
    """How the problem is transcribed."""
    solver: Solver
    """How it is solved."""
    guidance: Guidance
    """How it is held to the data."""
    distance: str
    """Which model measures the distance: `score` or `energy`."""
    effort_weight: float = 0.0
    """Weight of the control cost."""
    force_limits: bool = True
    """Whether it is told the motor's limits."""


@dataclass(frozen=True)
class PlannedRow:
    """The plans of one planner from all guesses, and what the true system made of them."""

    planner: Planner
    """Which planner."""
    solutions: Sequence[Solution]
    """One per guess."""
    truths: Sequence[Trajectory]
    """States of the environment under each plan's controls."""
    predicted_costs: FloatArray
    """Terminal cost by the plan, `(S,)`."""
    true_costs: FloatArray
    """Terminal cost in the environment, `(S,)`."""
    summary: Mapping[str, Any]
    """The row of the table."""

    @property
    def typical(self) -> int:
        """Index of the plan whose true cost is the median."""
        return int(np.argsort(self.true_costs)[len(self.true_costs) // 2])


FORCE_LIMIT = CartPoleParameters().force_limit
"""Where the motor ends [N]."""

SHOOTING = GradientDescent(iterations=250, step_size=0.3, annealing=0.6)
"""Gradient descent as used in the table; 64 starts make one batch."""

TRANSCRIPTION_GUIDANCE = Guidance(beta=1.0, sigma_start=0.3, sigma_stop=0.2)
"""σ continued in four stages to 0.2: of 0.1, 0.15 and 0.2 the level at which plans amplify model errors least."""


def planners() -> list[Planner]:
    """Return all rows: shooting and transcription, guided and not, told the force limits and not."""
    guided, blind = Guidance(), Guidance(beta=0.0)
    rows = [
        Planner("guided shooting", SingleShooting(), SHOOTING, guided, "score"),
        Planner("unguided shooting", SingleShooting(), SHOOTING, blind, "score"),
        Planner("guided shooting, limits unknown", SingleShooting(), SHOOTING, guided, "score", force_limits=False),
        Planner("unguided shooting, limits unknown", SingleShooting(), SHOOTING, blind, "score", force_limits=False),
    ]
    for name, guidance in (("guided transcription", TRANSCRIPTION_GUIDANCE), ("unguided transcription", blind)):
        rows.append(Planner(name, DirectTranscription(), Ipopt(), guidance, "energy", effort_weight=1e-3))
    return rows


def run_planner(planner: Planner, models: TrainedModels, guesses: Trajectory) -> PlannedRow:
    """Plan from every guess and run every plan in the real environment, open loop."""
    problem = planner_problem(planner, models)
    begin = time.perf_counter()
    solutions = prepare(problem, planner.formulation, planner.solver).solve(guesses).starts
    seconds = time.perf_counter() - begin
    truths = [run_in_environment(solution.trajectory) for solution in solutions]
    predicted = np.array([_terminal(solution.trajectory) for solution in solutions])
    true = np.array([_terminal(truth) for truth in truths])
    summary = _summarise(planner, models, solutions, truths, predicted, true, seconds / len(solutions))
    return PlannedRow(planner, solutions, truths, predicted, true, summary)


def planner_problem(planner: Planner, models: TrainedModels, horizon: int = 60) -> OptimalControlProblem:
    """Return the problem that a planner solves."""
    model = models.score if planner.distance == "score" else models.energy
    return swing_up_problem(
        models.dynamics,
        planner.guidance.term(model),
        horizon=horizon,
        effort_weight=planner.effort_weight,
        force_limits=planner.force_limits,
    )


def swing_up_guesses(models: TrainedModels, count: int, seed: int) -> Trajectory:
    """Return guesses under independent uniform forces within ±80 N, the same for every planner."""
    return random_guesses(swing_up_problem(models.dynamics), count, np.random.default_rng(seed))


def single_plan_seconds(planner: Planner, models: TrainedModels, guess: Trajectory) -> float:
    """Return the wall time of one plan from one guess, everything included [s]."""
    begin = time.perf_counter()
    prepare(planner_problem(planner, models), planner.formulation, planner.solver).solve(guess.select(0))
    return time.perf_counter() - begin


def run_in_environment(plan: Trajectory) -> Trajectory:
    """Apply the controls of a plan `(N, 1)` in the real environment, which ends at its force limits."""
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID, max_episode_steps=plan.horizon)
    state, _ = environment.reset(options={"state": plan.states[0]})
    states, forces = [state], []
    for control in plan.controls:
        state, _, _, _, info = environment.step(control)
        states.append(state)
        forces.append([info["force"]])
    environment.close()
    return Trajectory(np.stack(states), np.array(forces), plan.time_step)


def _terminal(trajectory: Trajectory) -> float:
    return float(cartpole_swing_up_cost(torch.as_tensor(trajectory.states[-1])))


def _summarise(
    planner: Planner,
    models: TrainedModels,
    solutions: Sequence[Solution],
    truths: Sequence[Trajectory],
    predicted: FloatArray,
    true: FloatArray,
    seconds: float,
) -> dict[str, Any]:
    guidance, solver, scale = planner.guidance, planner.solver, models.dynamics.normalizer.scale[:4]
    excess = [np.abs(solution.trajectory.controls).max() - FORCE_LIMIT for solution in solutions]
    gains = [error_amplification(models.dynamics, solution.trajectory, scale) for solution in solutions]
    statuses = [solution.status.label for solution in solutions]
    guided = guidance.beta > 0.0
    return {
        "name": planner.name,
        "formulation": planner.formulation.name,
        "solver": solver.name,
        "beta": guidance.beta,
        "weighting": "sigma2",
        "sigma_schedule": [guidance.sigma_start, guidance.sigma_stop] if guided else None,
        "force_limits": planner.force_limits,
        "starts": len(solutions),
        "success_rate": float((true < SUCCESS_COST).mean()),
        "true_cost_median": float(np.median(true)),
        "predicted_cost_median": float(np.median(predicted)),
        "left_data_rate": float(np.mean([_leaves(s.trajectory, t) for s, t in zip(solutions, truths, strict=True)])),
        "bound_violation_max": float(max(0.0, *excess)),
        "error_amplification_median": float(np.median(gains)),
        "status": {label: statuses.count(label) for label in sorted(set(statuses))},
        "iterations_median": float(np.median([solution.iterations for solution in solutions])),
        "seconds_per_plan": seconds,
    }


def _leaves(plan: Trajectory, truth: Trajectory) -> bool:
    """Return whether the plan or the true motion leaves the box of states and forces in which data were collected."""
    states = np.vstack([plan.states, truth.states])
    outside = (states < np.array(STATE_BOX_LOW)) | (states > np.array(STATE_BOX_HIGH))
    return bool(outside.any() or (np.abs(plan.controls) > FORCE_LIMIT).any())
