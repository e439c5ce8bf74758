"""The controller of the pusher: problem of a receding horizon, and its solution by sampling or along gradients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.pusher_dynamics import PusherKeypointDynamics
from trajopt_sgp.envs.pusher_equations import PusherParameters
from trajopt_sgp.envs.pusher_guidance import PushGuide, PushProposals
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem, StageConstraint, StageCost, TerminalCost
from trajopt_sgp.solvers import MPPI, GradientDescent
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.uncertainty import DataDistance

Bounds = tuple[FloatArray, FloatArray]
"""Least and greatest of every coordinate of keypoints and pusher `(12,)` [m]."""

_PLANT = PusherParameters()
_CENTIMETRES = 100.0


@dataclass(frozen=True)
class PushPlanner:
    """Settings of the planner."""

    horizon: int = 8
    """Steps of 0.5 s that are planned."""
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


def smoothed_model() -> PusherKeypointDynamics:
    """Return the analytic model at nominal parameters, five substeps, contact blurred over 0.3 mm."""
    return PusherKeypointDynamics(PusherParameters(substeps=5), smoothing=3e-4)


def push_controller(
    dynamics: Any, score: Any | None, goal: FloatArray, settings: PushPlanner, bounds: Bounds, gradient: bool = False
) -> MPC:
    """Return a controller towards keypoints `goal` `(10,)`, by sampling or by gradients.

    Args:
        dynamics: of keypoints and pusher.
        score: model of the distance to data; None for β = 0.
        goal: keypoints [m].
        settings: of planner and problem.
        bounds: of keypoints and pusher.
        gradient: whether to descend along gradients from two starts, instead of sampling around one.
    """
    guide = PushGuide(goal)
    problem = push_problem(dynamics, score, guide, settings, bounds)
    proposals = PushProposals(guide, settings.horizon)
    return MPC(
        problem=problem,
        formulation=SingleShooting(),
        solver=_solver(settings, gradient),
        proposals=proposals,
        kept=2 if gradient else 1,
    )


def push_problem(
    dynamics: Any, score: Any | None, guide: PushGuide, settings: PushPlanner, bounds: Bounds
) -> OptimalControlProblem:
    """Return the problem of a receding horizon; speed of the pusher and workspace are constraints of the path."""
    limit = _PLANT.step_limit

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
        time_step=_PLANT.time_step,
        initial_state=np.concatenate([guide.goal, guide.goal[8:] - 0.15]),
        stage_costs=[StageCost(missing, settings.running, "running"), StageCost(effort, settings.effort), *distance],
        terminal_costs=[TerminalCost(missing, 1.0, "end"), TerminalCost(outlook, settings.outlook, "outlook")],
        constraints=[StageConstraint(speed, upper=1.0, name="speed")],
        state_bounds=bounds,
        control_bounds=(-limit, limit),
        name="planar pusher",
    )


def _solver(settings: PushPlanner, gradient: bool) -> Solver:
    if gradient:
        return GradientDescent(iterations=settings.descents, step_size=0.1, final_step_constrained=0.1)
    return MPPI(
        iterations=settings.iterations, population=settings.population, spread=0.25, final_spread=0.3, penalty=100.0
    )
