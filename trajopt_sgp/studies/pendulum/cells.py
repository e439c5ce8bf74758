"""The cells: trainings, boundary-value plans by solver and noise level, episodes of two controllers."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import load_model
from trajopt_sgp.solvers import GradientDescent, Ipopt
from trajopt_sgp.studies.pendulum.control import ControlSettings, control_cell, score_controller, shooting_controller
from trajopt_sgp.studies.pendulum.planning import BoundaryPlan, judge, plan_boundary, true_step
from trajopt_sgp.studies.pendulum.training import (
    SHOOTING_FOLDERS,
    PendulumTraining,
    train_shooting_models,
    train_triple_energy,
    train_triple_score,
)
from trajopt_sgp.studies.runner import CellContext, StudyCell
from trajopt_sgp.studies.toys.compact import pack_array

SIGMAS = (0.05, 0.03, 0.02, 0.01)
"""Where schedules of boundary-value plans end; Suh et al. end at 0.05."""

_REDUCED_TRAINING = PendulumTraining(
    transitions=2000, hidden_sizes=(32, 32), score_steps=100, energy_steps=100, dynamics_steps=100, shooting_steps=50
)


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells; reduced, one noise level, short plans and short episodes."""
    training, plan, control = PendulumTraining(), BoundaryPlan(), ControlSettings()
    iterations, sigmas = 3000, list(SIGMAS)
    if reduced:
        training, plan, iterations, sigmas = _REDUCED_TRAINING, replace(plan, horizon=10), 60, sigmas[:1]
        control = replace(control, horizon=5, steps=4, held=2, angles=(np.pi,))
    learn = asdict(training)
    score = StudyCell("score of (x, u, x')", learn_score, learn)
    energy = StudyCell("energy of (x, u, x')", learn_energy, learn)
    shooting = StudyCell("dynamics and score of (x, u)", learn_shooting, learn)
    plans = [asdict(replace(plan, sigma_stop=sigma)) for sigma in sigmas]
    controllers = (
        ("score transcription, Ipopt", control_by_energy, {"energy": energy}),
        ("shooting over learned dynamics, Ipopt", control_by_shooting, {"shooting": shooting}),
    )
    common = {"training": learn, "control": asdict(control)}
    return [
        score,
        energy,
        shooting,
        *(
            StudyCell(
                f"plan: score, GradientDescent, σ → {settings['sigma_stop']:g}",
                plan_by_score,
                {"training": learn, "plan": settings, "iterations": iterations},
                {"score": score},
            )
            for settings in plans
        ),
        *(
            StudyCell(
                f"plan: energy, Ipopt, σ → {settings['sigma_stop']:g}",
                plan_by_energy,
                {"training": learn, "plan": settings},
                {"energy": energy},
            )
            for settings in plans
        ),
        *(StudyCell(f"control: {name}", function, common, needs) for name, function, needs in controllers),
    ]


def learn_score(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train the score of (x, u, x'); it stays in the folder of the cell."""
    train_triple_score(_training(settings), context.folder)
    return {}


def learn_energy(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train the energy of (x, u, x'); it stays in the folder of the cell."""
    train_triple_energy(_training(settings), context.folder)
    return {}


def learn_shooting(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train dynamics and the score of (x, u); they stay in the folder of the cell."""
    train_shooting_models(_training(settings), context.folder)
    return {}


def plan_by_score(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with the score by gradient descent from four starts."""
    model = _load(context.inputs["score"].folder)
    return _plan(model, settings, GradientDescent(iterations=settings["iterations"], step_size=0.05, starts=4))


def plan_by_energy(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Plan with the energy by Ipopt in six stages of the schedule."""
    model = _load(context.inputs["energy"].folder)
    return _plan(model, settings, Ipopt(stages=6, max_iterations=300))


def control_by_energy(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Run the episodes of the controller without a model of the dynamics."""
    model = _load(context.inputs["energy"].folder)
    control = _control(settings)
    return control_cell(score_controller(model, control), control)


def control_by_shooting(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Run the episodes of the controller that shoots over learned dynamics."""
    folder, control = context.inputs["shooting"].folder, _control(settings)
    dynamics, score = (_load(folder / name) for name in SHOOTING_FOLDERS)
    return control_cell(shooting_controller(dynamics, score, control), control)


def _load(folder: Path) -> Any:
    return load_model(folder / MODEL_FILE)


def _plan(model: Any, settings: Mapping[str, Any], solver: Any) -> dict[str, Any]:
    solution = plan_boundary(model, BoundaryPlan(**settings["plan"]), solver)
    plan, truth = solution.trajectory, solution.resimulate(true_step).trajectory
    rates = (plan.states[1:] - true_step(plan.states[:-1], plan.controls))[:, 2]
    arrays = {"plan": plan.states, "truth": truth.states, "rate_defects": rates}
    return {**judge(solution), **{name: pack_array(array) for name, array in arrays.items()}}


def _training(settings: Mapping[str, Any]) -> PendulumTraining:
    return PendulumTraining(**{**settings, "hidden_sizes": tuple(settings["hidden_sizes"])})


def _control(settings: Mapping[str, Any]) -> ControlSettings:
    return ControlSettings(**{**settings["control"], "angles": tuple(settings["control"]["angles"])})
