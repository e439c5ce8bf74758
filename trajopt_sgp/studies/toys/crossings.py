"""Starts and goals between which the straight way leaves the data, and the problem of getting from one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PlanarWorld, segments_outside
from trajopt_sgp.envs.planar_worlds import CONTROL_NAMES, STATE_NAMES
from trajopt_sgp.models import check_same_data
from trajopt_sgp.problem import Dynamics, OptimalControlProblem, StageCost, TerminalCost, Trajectory
from trajopt_sgp.solvers.guess import rollout
from trajopt_sgp.uncertainty import DataDistance

GOAL_WEIGHT = 100.0
"""Of the squared distance between the last state and the goal."""
EFFORT_WEIGHT = 0.1
"""Of N Σ‖x_{t+1} - x_t‖², the squared length of a path that is walked at constant speed."""

_SHORTEST_WAY = 0.8
_MARGIN = 0.05
_LARGEST = 1.6
_PROPOSALS = 1000


@dataclass(frozen=True)
class Crossings:
    """Pairs of start and goal, grouped by goal, so that each group is one batch."""

    goals: FloatArray
    """`(G, 2)`."""
    starts: FloatArray
    """`(G, S, 2)`."""


def draw_crossings(world: PlanarWorld, goals: int, starts: int, generator: np.random.Generator) -> Crossings:
    """Draw goals, and starts for each, such that the straight way between them leaves the region.

    Ends are at least 0.05 inside the region in every coordinate, at most 1.6 from the origin in each, and 0.8 apart.
    A goal that few starts reach across is drawn again.
    """
    chosen: list[FloatArray] = []
    groups: list[FloatArray] = []
    while len(chosen) < goals:
        points = _interior_points(world, generator)
        goal, others = points[0], points[1:]
        ways = np.stack([others, np.broadcast_to(goal, others.shape)], axis=1)
        far = np.linalg.norm(others - goal, axis=1) >= _SHORTEST_WAY
        across = others[far & segments_outside(world.region, ways)[:, 0]]
        if len(across) >= starts:
            chosen.append(goal)
            groups.append(across[:starts])
    return Crossings(np.array(chosen), np.array(groups))


def crossing_problem(
    world: PlanarWorld,
    dynamics: Dynamics,
    horizon: int,
    costs: Sequence[DataDistance] = (),
    constraints: Sequence[DataDistance] = (),
) -> OptimalControlProblem:
    """Return the problem of going from the start of the world to its goal, which is a parameter.

    Args:
        world: gives the limits of the controls.
        dynamics: learned or analytic.
        horizon: number of steps N.
        costs: distances to data among the costs, from models of the same data as the dynamics.
        constraints: the same among the constraints, with `upper` set.

    Raises:
        IncompatibleError: dynamics and distances come from different data.
    """
    check_same_data(*(m for m in (dynamics, *(term.model for term in (*costs, *constraints))) if hasattr(m, "dataset")))

    def effort(state: Tensor, control: Tensor) -> Tensor:
        return horizon * (world.gain * control).square().sum(-1)

    def missed(state: Tensor, goal: Tensor) -> Tensor:
        return (state - goal).square().sum(-1)

    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=horizon,
        initial_state=list(world.start),
        stage_costs=[StageCost(effort, EFFORT_WEIGHT, "effort"), *costs],
        terminal_costs=[TerminalCost(missed, GOAL_WEIGHT, "goal", parameters=("goal",))],
        constraints=list(constraints),
        control_bounds=(-world.control_limit, world.control_limit),
        parameters={"goal": list(world.goal)},
        state_names=STATE_NAMES,
        control_names=CONTROL_NAMES,
        name=world.name,
    )


def straight_guesses(
    problem: OptimalControlProblem,
    world: PlanarWorld,
    starts: FloatArray,
    goal: FloatArray,
    spread: float,
    generator: np.random.Generator,
) -> Trajectory:
    """Return guesses `(S, ...)` that go straight to the goal, with uniform noise of `spread` control limits."""
    straight = (goal - starts)[:, None, :] / (problem.horizon * world.gain)
    noise = generator.uniform(-1.0, 1.0, (len(starts), problem.horizon, 2)) * spread * world.control_limit
    controls = np.clip(straight + noise, -world.control_limit, world.control_limit)
    return rollout(problem, controls, starts)


def _interior_points(world: PlanarWorld, generator: np.random.Generator) -> FloatArray:
    points = world.region.propose(_PROPOSALS, generator)
    corners = _MARGIN * np.array([(i, j) for i in (-1, 1) for j in (-1, 1)])
    inside = world.region.contains(points[:, None] + corners).all(axis=1)
    chosen: FloatArray = points[inside & (np.abs(points).max(axis=1) <= _LARGEST)]
    return chosen
