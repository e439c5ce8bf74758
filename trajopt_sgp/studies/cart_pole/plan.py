"""Making plans within a wall-clock budget, and judging them by the true system."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import cartpole_swing_up_cost
from trajopt_sgp.models import fit_normalizer
from trajopt_sgp.problem import OptimalControlProblem, Solution, Status, Trajectory
from trajopt_sgp.solvers import PreparedSolve, prepare, random_guesses
from trajopt_sgp.studies.cart_pole.methods import Ingredients, Method, find_method
from trajopt_sgp.studies.cart_pole.models import load_study_model, study_data
from trajopt_sgp.studies.planning import run_in_environment
from trajopt_sgp.studies.runner import CellContext
from trajopt_sgp.studies.swing_up import SUCCESS_COST, swing_up_problem
from trajopt_sgp.uncertainty import ExactSmoothedDistance

GUESS_SEED = 1_234_567
"""Of the forces of the guesses, the same for every method and every seed of models."""

SIGMA_OF_JUDGE = 0.1
"""σ of the exact smoothed distance by which plans are measured."""

_INSTANT = 1e-3


@dataclass(frozen=True)
class Budget:
    """What a method may spend on all plans of a cell."""

    seconds: float
    """Wall time [s]; transcribing the problem and compiling kernels does not count, and is reported apart."""
    starts: int
    """Guesses; a method that plans one after another makes as many as fit."""
    most_iterations: int | None = None
    """Cap on the iterations of a solver, for reduced versions."""


def plan_and_judge(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with tuned settings and judge: the function of the cells of the table.

    Settings: `method`, `size` and `seed` of the data, `seconds`, `starts`, `most_iterations`, `force_limits` (True
    unless given), and `factors` by which tuned settings are multiplied. Inputs: `tuning`, if there is one, and the
    models by kind.
    """
    method = find_method(settings["method"])
    tuned = context.inputs["tuning"].result["settings"] if "tuning" in context.inputs else method.defaults
    factors = settings.get("factors", {})
    numbers = {name: value * factors.get(name, 1.0) for name, value in tuned.items()}
    ingredients = gather(settings, context)
    budget = Budget(settings["seconds"], settings["starts"], settings["most_iterations"])
    judged = run_method(method, ingredients, numbers, budget, GUESS_SEED)
    return {"settings": numbers, **judged}


def gather(settings: Mapping[str, Any], context: CellContext) -> Ingredients:
    """Return data and models of a cell."""
    models = {role: load_study_model(given.folder) for role, given in context.inputs.items() if role != "tuning"}
    data = study_data(settings["size"], settings["seed"])
    limits = settings.get("force_limits", True)
    return Ingredients(models, data, most_iterations=settings["most_iterations"], force_limits=limits)


def run_method(
    method: Method, ingredients: Ingredients, numbers: Mapping[str, float], budget: Budget, seed: int
) -> dict[str, Any]:
    """Plan within a budget and return what the plans are worth on the true system, one number for each plan.

    Raises:
        KeyboardInterrupt: a solve was interrupted.
    """
    begin = time.perf_counter()
    recipe = method.make(ingredients, numbers)
    guesses = make_guesses(ingredients, recipe.problem, budget.starts, seed)
    prepared = prepare(recipe.problem, recipe.formulation, recipe.solver)
    prepared.solve(guesses.select(0), time_limit=_INSTANT)
    ready = time.perf_counter()
    planner = _one_by_one if method.sequential else _in_one_batch
    solutions = planner(prepared, guesses, ready + budget.seconds)
    end = time.perf_counter()
    if any(solution.status is Status.INTERRUPTED for solution in solutions):
        raise KeyboardInterrupt
    judged = judge(solutions, ingredients.data)
    return {**judged, "preparation_seconds": ready - begin, "planning_seconds": end - ready}


def make_guesses(ingredients: Ingredients, problem: OptimalControlProblem, count: int, seed: int) -> Trajectory:
    """Return guesses under independent uniform forces within ±80 N, the same forces for every method.

    States are those of the learned dynamics, or, where the problem has none, a straight line to the goal.
    """
    full = swing_up_problem(ingredients.models["dynamics"], horizon=ingredients.horizon)
    guesses = random_guesses(full, count, np.random.default_rng(seed))
    if problem.dynamics is not None:
        return guesses
    goal = np.array([0.0, math.pi, 0.0, 0.0])
    line = np.linspace(0.0, 1.0, ingredients.horizon + 1)[:, None] * goal
    return Trajectory(np.broadcast_to(line, guesses.states.shape).copy(), guesses.controls, guesses.time_step)


def _in_one_batch(prepared: PreparedSolve, guesses: Trajectory, deadline: float) -> list[Solution]:
    states = np.repeat(prepared.problem.start[None], len(guesses.controls), axis=0)
    return prepared.solve_batch(states, guesses, time_limit=_left(deadline))


def _one_by_one(prepared: PreparedSolve, guesses: Trajectory, deadline: float) -> list[Solution]:
    solutions: list[Solution] = []
    for k in range(len(guesses.controls)):
        solution = prepared.solve(guesses.select(k), time_limit=_left(deadline))
        # the plan that the clock has cut short does not count beside whole ones
        if not solutions or solution.status is not Status.TIME_LIMIT:
            solutions.append(solution)
        if time.perf_counter() >= deadline:
            break
    return solutions


def _left(deadline: float) -> float:
    return max(deadline - time.perf_counter(), 1e-3)


def judge(solutions: Sequence[Solution], data: Transitions) -> dict[str, Any]:
    """Run every plan in the true environment and return, for each: costs, distances to data, violations.

    Lengths are in normalised units of the data. `outside` is the share of a plan's knots that lie farther from the data
    than 95 % of the data do from each other; it needs no true system. `executed_nearest` is the largest distance of the
    executed motion to the nearest data point.
    """
    plans = [solution.trajectory for solution in solutions]
    truths = [run_in_environment(plan) for plan in plans]
    true = np.array([_terminal(truth) for truth in truths])
    measure = DataMeasure(data)
    return {
        "plans": len(plans),
        "successes": int((true < SUCCESS_COST).sum()),
        "true_costs": true,
        "predicted_costs": [_terminal(plan) for plan in plans],
        "outside": [measure.outside_share(plan) for plan in plans],
        "planned_nearest": [float(measure.nearest(plan).max()) for plan in plans],
        "executed_nearest": [float(measure.nearest(truth).max()) for truth in truths],
        "violations": [solution.max_violation for solution in solutions],
        "statuses": [solution.status.label for solution in solutions],
    }


class DataMeasure:
    """Distances of motions to data, in normalised units.

    Args:
        data: N transitions.
    """

    def __init__(self, data: Transitions) -> None:
        self.model = ExactSmoothedDistance(data, fit_normalizer(data))
        self.tree = cKDTree(self.model.points.numpy())

    def nearest(self, motion: Trajectory) -> FloatArray:
        """Return the distance of every knot `(N,)` to the nearest data point; infinite where it is not finite."""
        z = self._points(motion)
        lengths = np.full(len(z), np.inf)
        finite = np.isfinite(z).all(axis=1)
        lengths[finite] = self.tree.query(z[finite])[0]
        return lengths

    def outside_share(self, plan: Trajectory) -> float:
        """Return the share of knots whose calibrated length is positive."""
        z = torch.from_numpy(self._points(plan))
        with torch.no_grad():
            lengths = self.model.calibrated_length(z, SIGMA_OF_JUDGE)
        return float((lengths > 0.0).double().mean())

    def _points(self, motion: Trajectory) -> FloatArray:
        raw = np.hstack([motion.states[:-1], motion.controls])
        return np.asarray(self.model.normalizer.normalize(raw))


def _terminal(trajectory: Trajectory) -> float:
    return float(cartpole_swing_up_cost(torch.as_tensor(trajectory.states[-1])))
