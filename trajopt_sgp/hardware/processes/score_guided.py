"""The score-guided planner of the pusher: a box to a goal, on learned models, within the time that it is given."""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PushPlanner, load_push_models, push_controller
from trajopt_sgp.envs.planar_pusher import TABLE
from trajopt_sgp.envs.pusher_equations import PusherParameters
from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.arm_pusher import MOVING
from trajopt_sgp.hardware.mocap import apply, corners_and_centre, motion_of
from trajopt_sgp.hardware.processes.planner import PlannedMotion, PlanningProblem
from trajopt_sgp.hardware.settings import SUGAR_BOX_KEYPOINTS, HardwareSettings

SEARCHES = ("samples", "gradients")
ITERATIONS = 6
"""Of the search by samples, unless time is over before."""
_PLANT = PusherParameters()
_PARTS = 5


def make_score_guided(settings: HardwareSettings) -> "ScoreGuidedPlan":
    """Return the planner with its models loaded, after a first plan, which takes longer than others.

    Raises:
        OptionError: the settings name no dynamics, an unknown search, or another action duration than the models'.
        ModelFileError: a file is missing or damaged, or holds no model of the pusher.
    """
    if not settings.dynamics_file:
        raise OptionError("The score-guided planner needs dynamics_file in the settings, and score_file for β > 0.")
    if settings.search not in SEARCHES:
        raise OptionError(f"Unknown search {settings.search!r}; choose from {', '.join(SEARCHES)}.")
    if settings.action_duration != _PLANT.time_step:
        raise OptionError(
            f"The models are of actions of {_PLANT.time_step} s; action_duration is {settings.action_duration} s."
        )
    if settings.plan_period < MOVING * settings.action_duration:
        raise OptionError(f"plan_period must be at least {MOVING} of action_duration, in which an action is done.")
    torch.set_num_threads(1)
    score = Path(settings.score_file) if settings.score_file else None
    plan = ScoreGuidedPlan(settings, *load_push_models(Path(settings.dynamics_file), score))
    plan.warm_up()
    return plan


class ScoreGuidedPlan:
    """Plans eight actions from where box and pusher will be, beginning with the plan before and with ways to contacts.

    The markers are replaced by corners and centre of the box that fits them best, so that they may be anywhere on it.
    Friction dominates the motion, so that only the way of the pusher counts, not its time: what happens until the plan
    begins is predicted as actions that bring the pusher there. By then an action of the plan before is done.

    Args:
        settings: goal, workspace, price of leaving the data.
        dynamics: of keypoints and pusher.
        score: of the data, or None for β = 0.
    """

    def __init__(self, settings: HardwareSettings, dynamics: Any, score: Any | None) -> None:
        self._settings, self._dynamics = settings, dynamics
        self._goal = apply(motion_of(np.asarray(settings.goal)), np.asarray(SUGAR_BOX_KEYPOINTS))
        self._controller = push_controller(
            dynamics,
            score,
            self._goal.ravel(),
            PushPlanner(beta=settings.beta, iterations=ITERATIONS),
            _bounds(settings),
            gradient=settings.search == "gradients",
        )

    def __call__(self, problem: PlanningProblem) -> PlannedMotion:
        """Return eight actions, each with a rest at its end as in the environments; at the goal a rest alone."""
        keypoints = corners_and_centre(self._settings, problem.keypoints)
        if np.linalg.norm(keypoints - self._goal, axis=1).mean() <= self._settings.goal_tolerance:
            self._controller.reset()
            return PlannedMotion(problem.pusher[None], self._settings.action_duration)
        self._controller.time_limit = problem.budget
        self._controller.step(self._predict(keypoints, problem))
        plan = self._controller.plan
        displacements = np.zeros((0, 2)) if plan is None else plan.controls[0]
        knots = problem.pusher + np.pad(displacements.cumsum(axis=0), ((1, 0), (0, 1)))
        return _in_actions(knots, self._settings.action_duration)

    def warm_up(self) -> None:
        """Plan once from the middle of the workspace, and forget that."""
        pusher = np.array([*np.mean(self._settings.workspace, axis=1), 0.0])
        away = np.asarray(self._settings.goal) + np.array([0.2, 0.0, 0.0])
        markers = apply(motion_of(away), np.asarray(self._settings.box_keypoints))
        self(PlanningProblem(0.0, pusher, markers, pusher, self._settings.plan_time))
        self._controller.reset()

    def _predict(self, keypoints: FloatArray, problem: PlanningProblem) -> FloatArray:
        """Return keypoints and pusher `(12,)` at the beginning of the plan."""
        way = (problem.pusher - problem.tip)[:2]
        parts = max(ceil(np.linalg.norm(way) / _PLANT.step_limit), 1)
        state, step = torch.tensor(np.concatenate((keypoints.ravel(), problem.tip[:2]))), torch.tensor(way / parts)
        with torch.no_grad():
            for _ in range(parts):
                state = self._dynamics(state.float(), step.float())
        return np.concatenate((state.double().numpy()[:-2], problem.pusher[:2]))


def _in_actions(knots: FloatArray, duration: float) -> PlannedMotion:
    """Return the motion through knots `(n + 1, 3)`, an action each: evenly at first, then a wait for the arm."""
    parts = np.arange(1, _PARTS + 1) / _PARTS
    shares = np.minimum(parts / MOVING, 1.0)[:, None]
    finer = (knots[:-1, None] + shares * np.diff(knots, axis=0)[:, None]).reshape(-1, 3)
    return PlannedMotion(np.vstack((knots[:1], finer)), duration / _PARTS)


def _bounds(settings: HardwareSettings) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of keypoints, which stay on the table, and pusher, `(12,)` each."""
    workspace = np.transpose(settings.workspace)
    low, high = (np.array([*np.tile(corner, 5), *own]) for corner, own in zip(TABLE, workspace, strict=True))
    return low, high
