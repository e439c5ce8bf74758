"""Receding-horizon control of the pendulum environment, by a score alone and by shooting over learned dynamics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PENDULUM_KEYPOINTS_ID
from trajopt_sgp.formulations import ScoreTranscription, SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.studies.pendulum.planning import PLANT, receding_problem
from trajopt_sgp.studies.toys.compact import pack_array
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.uncertainty.protocols import GradientModel

UP = 0.9 * PLANT.length
"""Height of the tip over which the pendulum counts as upright [m]: within 26 degrees."""


@dataclass(frozen=True)
class ControlSettings:
    """Episodes, and what both controllers share."""

    horizon: int = 25
    """Intervals of 0.05 s that are planned."""
    steps: int = 100
    """Of an episode."""
    angles: tuple[float, ...] = (np.pi, np.pi - 0.2, np.pi + 0.2, np.pi - 0.1, np.pi + 0.1)
    """Where episodes start at rest [rad]."""
    held: int = 40
    """Steps at the end over which the pendulum must stay upright."""
    triple_beta: float = 100.0
    """β of the distance of (x, u, x'), weighting σ²; σ falls from 0.2 in the first step."""
    triple_sigma: float = 0.01
    """σ of it in the steps after, and at the end of the first."""
    shooting_beta: float = 1.0
    """β of the distance of (x, u), weighting σ², σ = 0.1."""


def score_controller(model: GradientModel, settings: ControlSettings) -> MPC:
    """Return the controller that knows the dynamics by a distance of (x, u, x') alone, from an initial state."""
    schedule = GeometricSchedule(0.2, settings.triple_sigma)
    distance = DataDistance(model, weight=settings.triple_beta, schedule=schedule, next_state=True)
    return MPC(
        problem=receding_problem([distance], settings.horizon),
        formulation=ScoreTranscription(),
        solver=Ipopt(stages=1, max_iterations=60, tolerance=1e-4),
        first_solver=Ipopt(stages=4, max_iterations=200),
    )


def shooting_controller(dynamics: Any, model: GradientModel, settings: ControlSettings) -> MPC:
    """Return the controller that shoots over learned dynamics, held to the data by a score of (x, u)."""
    distance = DataDistance(model, weight=settings.shooting_beta, sigma=0.1)
    return MPC(
        problem=receding_problem([distance], settings.horizon, dynamics),
        formulation=SingleShooting(),
        solver=Ipopt(stages=1, max_iterations=60, tolerance=1e-4),
        first_solver=Ipopt(stages=1, max_iterations=200),
    )


def run_episode(controller: MPC, angle: float, steps: int) -> Mapping[str, FloatArray]:
    """Run one episode from rest at an angle [rad] and return observations `(steps + 1, 3)` and torques `(steps, 1)`."""
    environment = gymnasium.make(PENDULUM_KEYPOINTS_ID)
    state, _ = environment.reset(seed=0, options={"state": [angle, 0.0]})
    controller.reset()
    states, torques = [state], []
    for _ in range(steps):
        torques.append(controller.step(state))
        state, *_ = environment.step(torques[-1])
        states.append(state)
    environment.close()
    return {"states": np.array(states), "torques": np.array(torques)}


def control_cell(controller: MPC, settings: ControlSettings) -> dict[str, Any]:
    """Run all episodes and return what happened as plain values, the first episode in full."""
    episodes, milliseconds = [], []
    for angle in settings.angles:
        episodes.append(run_episode(controller, angle, settings.steps))
        milliseconds.append(controller.statistics()["step_ms_p50"])
    return {
        "episodes": [_measure(episode["states"], settings.held) for episode in episodes],
        "step_ms_p50": float(np.median(milliseconds)),
        **{name: pack_array(array) for name, array in episodes[0].items()},
    }


def _measure(states: FloatArray, held: int) -> dict[str, Any]:
    height = states[:, 0]
    reached = np.flatnonzero(height > UP)
    angles: Sequence[float] = np.abs(np.arctan2(states[-held:, 1], states[-held:, 0])).tolist()
    return {
        "reached_after": int(reached[0]) if len(reached) else None,
        "held": bool((height[-held:] > UP).all()),
        "off_upright_median_rad": float(np.median(angles)),
    }
