"""Ways through the maze: the problem, the planners, and plans executed open loop and by receding horizon."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork, check_same_data
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem, TerminalCost
from trajopt_sgp.solvers import CEM, MPPI, GradientDescent, PreparedSolve
from trajopt_sgp.studies.long_horizon.budget import prepare_within
from trajopt_sgp.studies.long_horizon.maze import CONTROL_NAMES, GOAL_RADIUS, STATE_NAMES, TIME_STEP, PointMaze
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.studies.toys.compact import pack_array

HORIZON = 60
"""Held forces of an episode: 3 s, the 300 steps that the environment allows."""

GUIDANCE = Guidance(beta=1.0, sigma_start=0.3, sigma_stop=0.05)
"""β with the weighting σ², and the σ beside it, in normalised units."""

_MISS_WEIGHT = 10.0
_FIRST_EPISODES = 50_000


@dataclass(frozen=True)
class MazePlanner:
    """One row of the table."""

    solver: GradientDescent | CEM | MPPI
    """Of single shooting."""
    guidance: Guidance | None = None
    """Its distance to data."""
    by_energy: bool = False
    """Whether that distance is an energy network's; else a score network's."""
    rewarded: bool = False
    """Whether it maximises the reward itself; else it minimises the squared distance between last position and goal."""


MAZE_PLANNERS = {
    "β = 0, shooting": MazePlanner(GradientDescent(step_size=0.1, annealing=0.7)),
    "SGP, shooting": MazePlanner(GradientDescent(step_size=0.1, annealing=0.7), GUIDANCE),
    "β = 0, CEM": MazePlanner(CEM()),
    "β = 0, MPPI": MazePlanner(MPPI()),
    "energy, CEM": MazePlanner(CEM(), GUIDANCE, by_energy=True),
    "energy, MPPI": MazePlanner(MPPI(), GUIDANCE, by_energy=True),
    "energy, CEM, reward itself": MazePlanner(CEM(), GUIDANCE, by_energy=True, rewarded=True),
}
"""By name."""


@dataclass(frozen=True)
class MazeModels:
    """The models, all from the same data."""

    dynamics: LearnedDynamics
    """One-step model over 0.05 s."""
    score: ScoreNetwork
    """Learned gradient of the distance to data."""
    energy: EnergyNetwork
    """Learned distance to data with a value."""


@dataclass(frozen=True)
class Attempt:
    """How much is planned, and for how long."""

    episodes: int
    """Each from a start to a goal of its own."""
    starts: int
    """Guesses of a plan by gradient descent, in one batch; samplers draw theirs around the first."""
    seconds: float
    """Processor time of a plan [s]."""
    step_seconds: float
    """Processor time of a later step of receding-horizon control [s]."""
    most_iterations: int
    """Cap on the iterations of a solve."""


def maze_problem(planner: MazePlanner, models: MazeModels) -> OptimalControlProblem:
    """Return the problem of being at the goal, a parameter, at the end: the cost says nothing on the way there.

    Planners that need gradients or samples that differ minimise 10 times the squared distance between the last position
    and the goal, a smooth surrogate that is sparse in time alone; it pulls straight at the goal, into the wall. The
    reward itself, -10 within 0.45 of the goal at the last knot and 0 elsewhere, is sparse in space too.

    Raises:
        IncompatibleError: the models come from different data.
    """
    model = models.energy if planner.by_energy else models.score
    costs = [] if planner.guidance is None else planner.guidance.term(model)
    check_same_data(models.dynamics, *(term.model for term in costs))

    def missed(state: Tensor, goal: Tensor) -> Tensor:
        return (state[..., :2] - goal).square().sum(-1)

    def reward(state: Tensor, goal: Tensor) -> Tensor:
        return -(missed(state, goal) <= GOAL_RADIUS**2).to(state.dtype)

    cost, name = (reward, "reward") if planner.rewarded else (missed, "goal")
    return OptimalControlProblem(
        dynamics=models.dynamics,
        horizon=HORIZON,
        initial_state=[0.0] * 4,
        stage_costs=costs,
        terminal_costs=[TerminalCost(cost, _MISS_WEIGHT, name, parameters=("goal",))],
        control_bounds=(-1.0, 1.0),
        time_step=TIME_STEP,
        parameters={"goal": [0.0, 0.0]},
        state_names=STATE_NAMES,
        control_names=CONTROL_NAMES,
        name="point maze",
    )


def cross_maze(planner: MazePlanner, models: MazeModels, attempt: Attempt, receding: bool, seed: int) -> dict[str, Any]:
    """Plan a way through the maze in each episode and execute it, in one piece or replanned in every step.

    Replanning starts from the plan of the step before, and the horizon ends where the episode does: with a horizon that
    moves along, a cost at its end alone is met later and later.
    """
    maze, controller = PointMaze(), _controller(planner, models, attempt, seed)
    first = _FIRST_EPISODES + 1000 * seed
    runs = [_run(maze, controller, receding, first + episode) for episode in range(attempt.episodes)]
    maze.close()
    return {
        "plans": len(runs),
        "successes": sum(run.nearest <= GOAL_RADIUS for run in runs),
        "predicted": sum(run.predicted <= GOAL_RADIUS for run in runs),
        "nearest": [run.nearest for run in runs],
        "first_seconds": [run.seconds[0] for run in runs],
        "later_seconds": float(np.median([run.seconds[1:] for run in runs])),
        "paths": [pack_array(run.path) for run in runs],
    }


@dataclass(frozen=True)
class _Run:
    """One executed episode: its positions, distances to the goal, and processor seconds of every step."""

    path: FloatArray
    nearest: float
    predicted: float
    seconds: list[float]


def _controller(planner: MazePlanner, models: MazeModels, attempt: Attempt, seed: int) -> MPC:
    """Return a controller whose first plan takes the time of a plan, and later ones that of a step."""
    problem, shooting = maze_problem(planner, models), SingleShooting()

    def solve(prepared: PreparedSolve) -> None:
        prepared.solve_batch(np.zeros((1, 4)), generator=np.random.default_rng(seed))

    several = replace(planner.solver, starts=attempt.starts if isinstance(planner.solver, GradientDescent) else 1)
    budgets = ((several, attempt.seconds), (planner.solver, attempt.step_seconds))
    first, later = (
        prepare_within(problem, shooting, solver, seconds, solve, attempt.most_iterations).solver
        for solver, seconds in budgets
    )
    generator = np.random.default_rng(seed)
    return MPC(problem, shooting, later, first_solver=first, generator=generator)


def _run(maze: PointMaze, controller: MPC, receding: bool, seed: int) -> _Run:
    controller.reset()
    controller.change(horizon=HORIZON)
    state, goal = maze.reset(seed, crossing=True)
    begin = time.process_time()
    states = [state, maze.step(controller.step(state, {"goal": goal}))]
    seconds, plan = [time.process_time() - begin], controller.solutions[0].trajectory
    for k, planned in enumerate(plan.controls[1:], start=1):
        begin = time.process_time()
        force = _replan(controller, states[-1], goal, HORIZON - k) if receding else planned
        seconds.append(time.process_time() - begin)
        states.append(maze.step(force))
    path = np.stack(states)[:, :2]
    predicted = float(np.linalg.norm(plan.states[-1, :2] - goal))
    return _Run(path, float(np.linalg.norm(path - goal, axis=1).min()), predicted, seconds)


def _replan(controller: MPC, state: FloatArray, goal: FloatArray, horizon: int) -> FloatArray:
    """Return the force of a plan that ends where the episode does."""
    controller.change(horizon=horizon)
    return controller.step(state, {"goal": goal})
