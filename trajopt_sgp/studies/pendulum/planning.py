"""From hanging to upright as a boundary-value problem whose dynamics are a score, and the true plant as its judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PendulumKeypointDynamics, PendulumParameters, pendulum_swing_up_cost
from trajopt_sgp.formulations import ScoreTranscription
from trajopt_sgp.problem import OptimalControlProblem, Solution, StageCost, TerminalCost
from trajopt_sgp.problem.terms import StageCostTerm
from trajopt_sgp.solvers import solve
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.uncertainty.protocols import GradientModel

PLANT = PendulumParameters()
HANGING = (-PLANT.length, 0.0, 0.0)
UPRIGHT = (PLANT.length, 0.0, 0.0)


@dataclass(frozen=True)
class BoundaryPlan:
    """How hanging is joined to upright."""

    beta: float = 1000.0
    """β of the distance of (x, u, x') to data, with weighting σ²."""
    sigma_start: float = 0.4
    """σ at the start of the schedule."""
    sigma_stop: float = 0.01
    """σ at its end."""
    effort: float = 1e-3
    """Weight of (torque / limit)² at every knot."""
    horizon: int = 25
    """Intervals of 0.05 s."""


def effort(state: Tensor, control: Tensor) -> Tensor:
    """Return (torque / limit)², `(...)`."""
    return (control / PLANT.torque_limit).square().sum(-1)


def boundary_problem(model: GradientModel, plan: BoundaryPlan) -> OptimalControlProblem:
    """Return the problem without dynamics, both ends fixed."""
    schedule = GeometricSchedule(plan.sigma_start, plan.sigma_stop)
    return OptimalControlProblem(
        dynamics=None,
        horizon=plan.horizon,
        time_step=PLANT.time_step,
        initial_state=np.array(HANGING),
        final_state=np.array(UPRIGHT),
        stage_costs=[
            StageCost(effort, plan.effort, "effort"),
            DataDistance(model, weight=plan.beta, schedule=schedule, next_state=True),
        ],
        **_names_and_bounds(),
    )


def receding_problem(
    terms: list[StageCostTerm], horizon: int, dynamics: Any = None, tracking: float = 0.1, end: float = 10.0
) -> OptimalControlProblem:
    """Return the problem of a receding horizon: an initial state, and costs of being away from upright.

    Args:
        terms: distances to data.
        horizon: intervals of 0.05 s.
        dynamics: None where a distance of (x, u, x') takes their place.
        tracking: weight of the swing-up cost at every knot.
        end: weight of it at the last.
    """

    def away(state: Tensor, control: Tensor) -> Tensor:
        return pendulum_swing_up_cost(state)

    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=horizon,
        time_step=PLANT.time_step,
        initial_state=np.array(HANGING),
        stage_costs=[StageCost(away, tracking, "tracking"), StageCost(effort, 0.01, "effort"), *terms],
        terminal_costs=[TerminalCost(pendulum_swing_up_cost, end, "end")],
        **_names_and_bounds(),
    )


def plan_boundary(model: GradientModel, plan: BoundaryPlan, solver: Solver, seed: int = 0) -> Solution:
    """Solve from straight lines through keypoint space, perturbed where the solver takes several starts."""
    problem = boundary_problem(model, plan)
    return solve(problem, ScoreTranscription(), solver, generator=np.random.default_rng(seed))


def true_step(state: ArrayLike, control: ArrayLike) -> FloatArray:
    """Return the true next keypoints `(..., 3)`."""
    states, controls = (torch.tensor(np.asarray(v, dtype=np.float64)) for v in (state, control))
    after: FloatArray = PendulumKeypointDynamics()(states, controls).numpy()
    return after


def judge(solution: Solution) -> Mapping[str, Any]:
    """Compare a plan with the true plant, step by step and in open loop.

    Defects are largest and median |x_{t+1} - f(x_t, u_t)| over the knots, of the tip [m] and of the rate [rad/s]; the
    gap is the largest distance of the tip from its plan when the torques are applied one after the other.
    """
    plan = solution.trajectory
    defects = np.abs(plan.states[1:] - true_step(plan.states[:-1], plan.controls))
    tips, rates = np.linalg.norm(defects[:, :2], axis=1), defects[:, 2]
    truth = solution.resimulate(true_step)
    return {
        "status": solution.status.label,
        "iterations": solution.iterations,
        "seconds": solution.seconds["total"],
        "tip_defect_max": float(tips.max()),
        "tip_defect_median": float(np.median(tips)),
        "rate_defect_max": float(rates.max()),
        "rate_defect_median": float(np.median(rates)),
        "gap": float(np.linalg.norm(truth.gap[:, :2], axis=1).max()),
        "true_end": truth.trajectory.states[-1].tolist(),
        "torque_max": float(np.abs(plan.controls).max()),
        "data_distance_max": float(np.max(solution.data_distance)) if solution.data_distance is not None else None,
    }


def _names_and_bounds() -> dict[str, Any]:
    return {
        "control_bounds": (-PLANT.torque_limit, PLANT.torque_limit),
        "state_names": PendulumKeypointDynamics.state_names,
        "control_names": PendulumKeypointDynamics.control_names,
        "name": "pendulum swing-up",
    }
