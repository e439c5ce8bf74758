"""The pendulum study: boundary-value plans by solver and noise level, control, a page and figures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.problem import Solution
from trajopt_sgp.solvers import GradientDescent, Ipopt
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.files import write_json
from trajopt_sgp.studies.pendulum.control import (
    UP,
    ControlSettings,
    control_cell,
    score_controller,
    shooting_controller,
)
from trajopt_sgp.studies.pendulum.page import pendulum_page
from trajopt_sgp.studies.pendulum.planning import PLANT, BoundaryPlan, judge, plan_boundary, true_step
from trajopt_sgp.studies.pendulum.training import PendulumModels, PendulumTraining, train_pendulum
from trajopt_sgp.uncertainty.protocols import GradientModel
from trajopt_sgp.viz.pendulum_plots import plot_keypoint_control, plot_keypoint_plan, plot_noise_levels
from trajopt_sgp.viz.style import save_figure

FloatArray = NDArray[np.float64]

_DPI = 110
SCORE_DESCENT, ENERGY_IPOPT = "score, GradientDescent", "energy, Ipopt"


@dataclass(frozen=True)
class PendulumSettings:
    """What is learned, planned and controlled."""

    training: PendulumTraining = field(default_factory=PendulumTraining)
    """Of the four models."""
    plan: BoundaryPlan = field(default_factory=BoundaryPlan)
    """Of the boundary-value problem; its last σ is varied."""
    sigmas: tuple[float, ...] = (0.05, 0.03, 0.02, 0.01)
    """Where the schedule ends; Suh et al. end at 0.05."""
    iterations: int = 3000
    """Of gradient descent, from four starts."""
    control: ControlSettings = field(default_factory=ControlSettings)
    """Of the episodes."""


REDUCED = PendulumSettings(
    training=PendulumTraining(
        transitions=3000,
        hidden_sizes=(32, 32),
        score_steps=200,
        energy_steps=200,
        dynamics_steps=200,
        shooting_steps=100,
    ),
    plan=BoundaryPlan(horizon=10),
    sigmas=(0.05,),
    iterations=60,
    control=ControlSettings(horizon=5, steps=4, held=2, angles=(np.pi,)),
)
"""Seconds instead of minutes: shows that all parts run."""


def run_pendulum(models: PendulumModels, settings: PendulumSettings) -> dict[str, Any]:
    """Return settings, the plans by solver and noise level, and the episodes of both controllers."""
    begin = time.perf_counter()
    choices = [(solver, sigma) for solver in _solvers(models, settings) for sigma in settings.sigmas]
    plans = [plan_cell(models, settings, *choice) for choice in choices]
    control = {
        "score transcription, Ipopt": control_cell(score_controller(models.energy, settings.control), settings.control),
        "shooting over learned dynamics, Ipopt": control_cell(
            shooting_controller(models.dynamics, models.shooting_score, settings.control), settings.control
        ),
    }
    seconds = round(time.perf_counter() - begin, 1)
    return {"settings": asdict(settings), "plans": plans, "control": control, "seconds": seconds}


def plan_cell(models: PendulumModels, settings: PendulumSettings, solver: str, sigma: float) -> dict[str, Any]:
    """Return what the true plant says of one boundary-value plan, as plain values."""
    return {"solver": solver, "sigma_stop": sigma, **judge(_plan(models, settings, solver, sigma))}


def write_pendulum(folder: Path, settings: PendulumSettings, trained: Path | None = None) -> Sequence[Path]:
    """Train, run, and write `pendulum.json`, `pendulum.md` and three figures; return their paths.

    Args:
        folder: receives the files.
        settings: of everything.
        trained: keeps the trainings for the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = train_pendulum(settings.training, trained)
    results = run_pendulum(models, settings)
    document, page = folder / "pendulum.json", folder / "pendulum.md"
    write_json(document, results)
    page.write_text(pendulum_page(results), encoding="utf-8")
    return [document, page, *_write_figures(folder, models, settings, results)]


def _solvers(models: PendulumModels, settings: PendulumSettings) -> Mapping[str, tuple[GradientModel, Solver]]:
    return {
        SCORE_DESCENT: (models.score, GradientDescent(iterations=settings.iterations, step_size=0.05, count=4)),
        ENERGY_IPOPT: (models.energy, Ipopt(stages=6, max_iterations=300)),
    }


def _plan(models: PendulumModels, settings: PendulumSettings, solver: str, sigma: float) -> Solution:
    model, method = _solvers(models, settings)[solver]
    return plan_boundary(model, replace(settings.plan, sigma_stop=sigma), method)


def _write_figures(
    folder: Path, models: PendulumModels, settings: PendulumSettings, results: Mapping[str, Any]
) -> list[Path]:
    last = settings.sigmas[-1]
    solutions = {name: _plan(models, settings, name, last) for name in _solvers(models, settings)}
    plan = solutions[SCORE_DESCENT]
    figures = {
        "plan": plot_keypoint_plan(
            plan.trajectory.states,
            plan.resimulate(true_step).trajectory.states,
            {name: _rate_defects(solution) for name, solution in solutions.items()},
            PLANT.length,
            f"Hanging to upright by a score of (x, u, x'), σ → {last:g}",
        ),
        "noise": plot_noise_levels(results["plans"]),
        "control": plot_keypoint_control(results["control"], PLANT.time_step, UP),
    }
    return [save_figure(figure, folder / f"pendulum-{name}.png", _DPI) for name, figure in figures.items()]


def _rate_defects(solution: Solution) -> FloatArray:
    plan = solution.trajectory
    defects: FloatArray = (plan.states[1:] - true_step(plan.states[:-1], plan.controls))[:, 2]
    return defects
