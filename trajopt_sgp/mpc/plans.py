"""What a receding horizon does to plans and constraints between two solves."""

from dataclasses import replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import OptimalControlProblem, Solution, StageConstraint, Status, Trajectory
from trajopt_sgp.problem.probing import depends_on_control

_NEARLY_FEASIBLE = 1e-3


def of_what_is_to_come(problem: OptimalControlProblem, entry: Any) -> Any:
    """Return a constraint without the measured state, where it is one of the states alone."""
    if isinstance(entry, StageConstraint) and not depends_on_control(problem, entry):
        return replace(entry, after_start=True)
    return entry


def fitted(plan: Trajectory, horizon: int) -> Trajectory:
    """Return a batch of plans cut to another horizon, or continued by repeating the last control and state."""
    if horizon <= plan.horizon:
        return replace(plan, states=plan.states[:, : horizon + 1], controls=plan.controls[:, :horizon])
    more = horizon - plan.horizon
    states = np.concatenate([plan.states, plan.states[:, -1:].repeat(more, axis=1)], axis=1)
    controls = np.concatenate([plan.controls, plan.controls[:, -1:].repeat(more, axis=1)], axis=1)
    return replace(plan, states=states, controls=controls)


def joined(starts: Trajectory, more: Trajectory) -> Trajectory:
    """Return starts `(B, ...)` or `(B, S, ...)` followed by more of them `(B, K, ...)`."""

    def join(first: FloatArray, second: FloatArray) -> FloatArray:
        return np.concatenate([first.reshape(len(second), -1, *second.shape[2:]), second], axis=1)

    return replace(more, states=join(starts.states, more.states), controls=join(starts.controls, more.controls))


def usable(solution: Solution) -> bool:
    """Return whether a plan may be applied: finite and feasible, its solver not failed but at most out of time."""
    ended = solution.success or solution.status in (Status.ITERATION_LIMIT, Status.TIME_LIMIT)
    feasible = solution.scaled_violation <= _NEARLY_FEASIBLE or solution.success
    return bool(ended and feasible and np.isfinite(solution.trajectory.controls).all())
