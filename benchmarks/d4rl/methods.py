"""The methods that are compared, and the settings of those that plan, by robot."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trajopt_sgp.data import Transitions, d4rl_robot
from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import (
    BehaviourClone,
    EnsembleDynamics,
    OutcomeModel,
    ScoreNetwork,
    StateValue,
    load_model_as,
)
from trajopt_sgp.studies.d4rl import (
    GradientSearch,
    Penalty,
    PlannerModels,
    PlannerSettings,
    SamplingSearch,
    ensemble_penalty,
    nearest_penalty,
    score_penalty,
)

BETAS = {"halfcheetah": 1000.0, "hopper": 100.0, "walker2d": 100.0}
"""Price of the penalty by robot, chosen on other episodes than those of the table."""

_BASE = PlannerSettings(horizon=8, proposals=3, noise=0.2, search=GradientSearch(iterations=5, step_size=0.03))
_MPPI = SamplingSearch(iterations=2, samples=48, spread=0.2, temperature=0.3)
_CEM = SamplingSearch(iterations=3, samples=48, spread=0.3, elites=6)
_NEAREST_POINTS = 4096

PLANNERS: Mapping[str, tuple[str, PlannerSettings]] = {
    "guided": ("score", _BASE),
    "beta=0": ("score", replace(_BASE, beta=0.0)),
    "nearest": ("nearest", _BASE),
    "mppi+ensemble": ("ensemble", replace(_BASE, search=_MPPI)),
    "cem+ensemble": ("ensemble", replace(_BASE, search=_CEM)),
}
"""Penalty and settings by name of the method; a price that is not zero is that of `BETAS`."""


def planner_settings(method: str, task: str, seed: int) -> PlannerSettings:
    """Return the settings of a method that plans."""
    settings = PLANNERS[method][1]
    return replace(settings, beta=BETAS[d4rl_robot(task)] if settings.beta else 0.0, seed=seed)


def planner_models(method: str, folder: Path, transitions: Callable[[], Transitions], seed: int) -> PlannerModels:
    """Return what a method plans with.

    Args:
        method: from `PLANNERS`.
        folder: of the trained models.
        transitions: called where the penalty needs the data themselves.
        seed: of the choice among them.
    """
    ensemble = load_model_as(EnsembleDynamics, folder / "ensemble" / MODEL_FILE)
    outcome = load_model_as(OutcomeModel, folder / "outcome" / MODEL_FILE)
    value = load_model_as(StateValue, folder / "value" / MODEL_FILE)
    clone = load_clone(folder)

    def penalty() -> Penalty:
        if PLANNERS[method][0] == "ensemble":
            return ensemble_penalty(ensemble)
        score = load_model_as(ScoreNetwork, folder / "score" / MODEL_FILE)
        if PLANNERS[method][0] == "score":
            return score_penalty(score)
        return nearest_penalty(score.normalize, _points(score, transitions(), seed))

    return PlannerModels.of(ensemble, outcome, value, clone, penalty())


def load_clone(folder: Path) -> BehaviourClone:
    """Return the cloned behaviour among trained models."""
    return load_model_as(BehaviourClone, folder / "clone" / MODEL_FILE)


def _points(score: ScoreNetwork, data: Transitions, seed: int) -> torch.Tensor:
    """Return transitions drawn at random, normalised: all of them would take seconds per action."""
    chosen = np.random.default_rng(seed).permutation(len(data))[:_NEAREST_POINTS]
    state, control = (torch.tensor(part[chosen], dtype=torch.float32) for part in (data.states, data.controls))
    return score.normalize(state, control)
