"""Model predictive control of the pusher: problem, controllers, episodes with random goals."""

from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.envs import (
    ARM_PUSHER_ID,
    PLANAR_PUSHER_ID,
    PlanarPusherEnv,
    PusherKeypointDynamics,
    PusherParameters,
    PushGuide,
    PushProposals,
)
from trajopt_sgp.envs.planar_pusher import WORKSPACE_HIGH, WORKSPACE_LOW, pusher_gap
from trajopt_sgp.envs.pusher_equations import NUMPY, box_keypoints
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem, StageConstraint, StageCost, TerminalCost
from trajopt_sgp.solvers import MPPI, GradientDescent
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.uncertainty import DataDistance

FloatArray = NDArray[np.float64]

PLANT = PusherParameters()
REACHED = 0.015
"""Mean distance of the keypoints from the goal that counts as reached [m]."""
_CLEARANCE = 0.008
_CENTIMETRES = 100.0


@dataclass(frozen=True)
class PushRegion:
    """Corners of where the box is, in one environment [m]."""

    goal_low: tuple[float, float]
    goal_high: tuple[float, float]
    start_low: tuple[float, float] = WORKSPACE_LOW
    start_high: tuple[float, float] = WORKSPACE_HIGH


_REGIONS = {
    PLANAR_PUSHER_ID: PushRegion((0.6, -0.05), (0.7, 0.05)),
    # the arm must reach around the box
    ARM_PUSHER_ID: PushRegion((0.55, -0.05), (0.61, 0.05), (0.5, -0.18), (0.66, 0.18)),
}


@dataclass(frozen=True)
class PushSettings:
    """The planner, and the episodes it is judged by."""

    horizon: int = 8
    """Steps of 0.5 s that are planned."""
    actions: int = 60
    """Largest number of an episode."""
    goals: int = 10
    """Random pairs of a goal pose and a start in one cell; the goals of a cell are one pose."""
    reach: float = 0.25
    """Largest distance of the box from its goal at the start [m]."""
    turn: float = 90.0
    """Largest angle between box and goal at the start [degrees]."""
    outlook: float = 0.5
    """Weight of the price [cm] of the pusher's way to a useful contact."""
    running: float = 0.3
    """Weight of what is missing [cm] at every knot; 1 at the last."""
    effort: float = 0.02
    """Weight of the squared length of a displacement, in units of its limit."""
    beta: float = 1.0
    """β of the distance of (x, u) to data, weighting σ²."""
    sigma: float = 0.1
    """Its σ, in normalised units."""
    population: int = 48
    """Samples of each iteration of the sampling planner."""
    iterations: int = 3
    """Of the sampling planner."""
    descents: int = 15
    """Iterations of gradient descent, from two starts."""
    environment: str = PLANAR_PUSHER_ID
    """Where the box is pushed."""


def smoothed_model() -> PusherKeypointDynamics:
    """Return the analytic model at nominal parameters, five substeps, contact blurred over 0.3 mm."""
    return PusherKeypointDynamics(PusherParameters(substeps=5), smoothing=3e-4)


def push_controller(
    dynamics: Any, score: Any | None, goal: FloatArray, settings: PushSettings, gradient: bool = False
) -> MPC:
    """Return a controller towards keypoints `goal` `(10,)`, by sampling or by gradients.

    Args:
        dynamics: of keypoints and pusher.
        score: model of the distance to data; None for β = 0.
        goal: keypoints [m].
        settings: of planner and problem.
        gradient: whether to descend along gradients from two starts, instead of sampling around one.
    """
    guide = PushGuide(goal)
    problem = push_problem(dynamics, score, guide, settings)
    proposals = PushProposals(guide, settings.horizon)
    return MPC(
        problem=problem,
        formulation=SingleShooting(),
        solver=_solver(settings, gradient),
        proposals=proposals,
        kept=2 if gradient else 1,
    )


def push_problem(dynamics: Any, score: Any | None, guide: PushGuide, settings: PushSettings) -> OptimalControlProblem:
    """Return the problem of a receding horizon; speed of the pusher and workspace are constraints of the path."""
    limit, region = PLANT.step_limit, _plant(settings.environment).data_box

    def missing(state: Tensor, control: Tensor | None = None) -> Tensor:
        return _CENTIMETRES * guide.missing(state)

    def effort(state: Tensor, control: Tensor) -> Tensor:
        return (control / limit).square().sum(-1)

    def speed(state: Tensor, control: Tensor) -> Tensor:
        return (control / limit).square().sum(-1, keepdim=True)

    def outlook(state: Tensor) -> Tensor:
        return _CENTIMETRES * guide.outlook(state)

    distance = [] if score is None else [DataDistance(score, weight=settings.beta, sigma=settings.sigma)]
    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=settings.horizon,
        time_step=PLANT.time_step,
        initial_state=np.concatenate([guide.goal, guide.goal[8:] - 0.15]),
        stage_costs=[StageCost(missing, settings.running, "running"), StageCost(effort, settings.effort), *distance],
        terminal_costs=[TerminalCost(missing, 1.0, "end"), TerminalCost(outlook, settings.outlook, "outlook")],
        constraints=[StageConstraint(speed, upper=1.0, name="speed")],
        state_bounds=(region.low, region.high),
        control_bounds=(-limit, limit),
        name="planar pusher",
    )


def run_goals(controller_of: Any, settings: PushSettings, seed: int) -> dict[str, Any]:
    """Run `settings.goals` episodes with random parameters at once until all are at their goal or time is over.

    Args:
        controller_of: from goal keypoints `(10,)` to a controller.
        settings: of the episodes.
        seed: of goal, starts, parameters of the plants and noise.
    """
    generator, region = np.random.default_rng(seed), _REGIONS[settings.environment]
    goal = np.array([*generator.uniform(region.goal_low, region.goal_high), generator.uniform(-np.pi, np.pi)])
    plants = [_plant(settings.environment) for _ in range(settings.goals)]
    controller = controller_of(np.array(box_keypoints(goal, PLANT, NUMPY)))
    seen, errors, paths = [], [], []
    for plant in plants:
        options = {"state": _random_start(plant, goal, settings, generator), "goal": goal}
        seen.append(plant.reset(seed=int(generator.integers(2**31)), options=options)[0])
    states = np.stack(seen)
    steps: list[Any] = [None] * len(plants)
    for _ in range(settings.actions):
        for i, control in enumerate(controller.step(states)):
            # a plant whose box is at its goal rests
            if steps[i] is None or steps[i][4]["error"] > REACHED:
                steps[i] = plants[i].step(control)
        states = np.stack([step[0] for step in steps])
        errors.append([step[4]["error"] for step in steps])
        paths.append([step[4]["state"].tolist() for step in steps])
        if max(errors[-1]) <= REACHED:
            break
    found = np.array(errors)
    reached = (found <= REACHED).any(0)
    after = np.where(reached, (found <= REACHED).argmax(0) + 1, -1)
    return {
        "reached": reached.tolist(),
        "after": after.tolist(),
        "least_error_mm": (1e3 * found.min(0)).tolist(),
        "step_ms_p50": controller.statistics()["step_ms_p50"] if len(controller.records) > 1 else 0.0,
        "goal": goal.tolist(),
        "path": [step[0] for step in paths],
    }


def _solver(settings: PushSettings, gradient: bool) -> Solver:
    if gradient:
        return GradientDescent(iterations=settings.descents, step_size=0.1, final_step_constrained=0.1)
    return MPPI(
        iterations=settings.iterations, population=settings.population, spread=0.25, final_spread=0.3, penalty=100.0
    )


def _plant(environment: str) -> PlanarPusherEnv:
    return cast(PlanarPusherEnv, gymnasium.make(environment).unwrapped)


def _random_start(
    plant: PlanarPusherEnv, goal: FloatArray, settings: PushSettings, generator: np.random.Generator
) -> FloatArray:
    """Return box x, y, angle and pusher x, y: the box uniform in a disc around the goal, the pusher near the box."""
    pose = _random_pose(goal, settings, generator)
    low, high = np.array(plant.pusher_box) + np.array([[0.02], [-0.02]])
    while True:
        pusher = np.clip(pose[:2] + generator.uniform(-0.2, 0.2, 2), low, high)
        if pusher_gap(pose, pusher, PLANT) > _CLEARANCE:
            return np.concatenate([pose, pusher])


def _random_pose(goal: FloatArray, settings: PushSettings, generator: np.random.Generator) -> FloatArray:
    region = _REGIONS[settings.environment]
    while True:
        direction, radius = generator.uniform(-np.pi, np.pi), settings.reach * np.sqrt(generator.uniform())
        turn = np.radians(generator.uniform(-settings.turn, settings.turn))
        pose: FloatArray = goal + np.array([radius * np.cos(direction), radius * np.sin(direction), turn])
        if ((pose[:2] >= region.start_low) & (pose[:2] <= region.start_high)).all():
            return pose
