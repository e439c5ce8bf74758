"""The methods that are compared, and the settings of those that plan, by robot."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions, d4rl_robot, is_d4rl_robot
from trajopt_sgp.errors import ModelFileError
from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import (
    BehaviourClone,
    EnsembleDynamics,
    OutcomeModel,
    ScoreNetwork,
    StateValue,
    load_model_as,
)
from trajopt_sgp.studies.d4rl.models import (
    Penalty,
    PlannerModels,
    distance_penalty,
    ensemble_penalty,
    score_penalty,
)
from trajopt_sgp.studies.d4rl.planner import PlannerSettings
from trajopt_sgp.studies.d4rl.play import Controller
from trajopt_sgp.studies.d4rl.search import GradientSearch, SamplingSearch, Searcher
from trajopt_sgp.uncertainty import ExactSmoothedDistance

BETAS = {"halfcheetah": 1000.0, "hopper": 100.0, "walker2d": 100.0}
"""Price of the penalty by robot, chosen on other episodes than those of the table."""
ONE_BETA = 100.0
"""Price that serves all robots, chosen on the same other episodes."""

Specification = Mapping[str, Any]
"""All that a method plans with, in plain JSON values, so that it is part of what a cell is known by."""

_SEARCHES: Mapping[str, Callable[..., Searcher]] = {"gradient": GradientSearch, "sampling": SamplingSearch}
_GRADIENT = {"kind": "gradient", "iterations": 5, "step_size": 0.03}
_MPPI = {"kind": "sampling", "iterations": 2, "samples": 48, "spread": 0.2, "temperature": 0.3}
_CEM = {"kind": "sampling", "iterations": 3, "samples": 48, "spread": 0.3, "elites": 6}
_BASE: Specification = {"penalty": "score", "horizon": 8, "proposals": 3, "noise": 0.2, "search": _GRADIENT}

OURS = "guided"
"""The method that the others are compared with."""
PLANNERS: Mapping[str, Specification] = {
    OURS: _BASE,
    "one-setting": {**_BASE, "beta": ONE_BETA},
    "beta=0": {**_BASE, "beta": 0.0},
    "exact": {**_BASE, "penalty": "exact"},
    "mppi+ensemble": {**_BASE, "penalty": "ensemble", "search": _MPPI},
    "cem+ensemble": {**_BASE, "penalty": "ensemble", "search": _CEM},
}
"""By name of the method; a price that is not given is that of `BETAS`."""


def specification(method: str, environment: str) -> Specification:
    """Return what a method plans with in an environment, given by its id, robot or task of D4RL."""
    beta = BETAS[d4rl_robot(environment)] if is_d4rl_robot(environment) else ONE_BETA
    return {"beta": beta, **PLANNERS[method]}


def planner_settings(planner: Specification, seed: int) -> PlannerSettings:
    """Return the settings that a specification stands for."""
    plain = {name: planner[name] for name in ("horizon", "beta", "proposals", "noise")}
    search = dict(planner["search"])
    return PlannerSettings(**plain, search=_SEARCHES[search.pop("kind")](**search), seed=seed)


def planner_models(penalty: str, folder: Path, transitions: Callable[[], Transitions]) -> PlannerModels:
    """Return what a method plans with.

    Args:
        penalty: "score", "exact" or "ensemble".
        folder: of the trained models.
        transitions: called where the penalty needs the data themselves.
    """
    ensemble = load_model_as(EnsembleDynamics, folder / "ensemble" / MODEL_FILE)
    outcome = load_model_as(OutcomeModel, folder / "outcome" / MODEL_FILE)
    value = load_model_as(StateValue, folder / "value" / MODEL_FILE)
    clone = load_clone(folder)

    def price() -> Penalty:
        if penalty == "ensemble":
            return ensemble_penalty(ensemble)
        score = load_model_as(ScoreNetwork, folder / "score" / MODEL_FILE)
        if penalty == "score":
            return score_penalty(score)
        return distance_penalty(
            ExactSmoothedDistance(transitions(), normalizer=score.normalizer, sigma_range=score.sigma_range)
        )

    return PlannerModels.of(ensemble, outcome, value, clone, price())


def load_clone(folder: Path) -> BehaviourClone:
    """Return the cloned behaviour among trained models.

    Raises:
        ModelFileError: there is none, or its file is damaged.
    """
    if not (folder / "clone" / MODEL_FILE).exists():
        raise ModelFileError(f"{folder} holds no cloned behaviour: train it by trajopt-sgp train --preset d4rl.")
    return load_model_as(BehaviourClone, folder / "clone" / MODEL_FILE)


def clone_controller(clone: BehaviourClone) -> Controller:
    """Return a clone's mean, within bounds, as a controller."""

    @torch.no_grad()
    def control(states: FloatArray) -> FloatArray:
        means = clone(torch.as_tensor(states, dtype=torch.float32))
        controls: FloatArray = means.clamp(clone.control_low, clone.control_high).double().numpy()
        return controls

    return control
