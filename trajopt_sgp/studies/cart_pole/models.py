"""Training the models of the study, each a cell of its own, and reading them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trajopt_sgp.data import Transitions, as_triples, triple_normalizer
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.learning import (
    MODEL_FILE,
    DynamicsSettings,
    EnergySettings,
    EnsembleSettings,
    LearnedDistanceSettings,
    ScoreSettings,
    TrainingSettings,
    train_dynamics,
    train_energy,
    train_ensemble,
    train_learned_distance,
    train_score,
)
from trajopt_sgp.models import load_model
from trajopt_sgp.studies.runner import CellContext

Settings = TypeVar("Settings", bound=TrainingSettings)

_STREAM = 5
_SMALL_POOL = 1024


@dataclass(frozen=True)
class ModelKind:
    """A model of the study."""

    train: Callable[[Transitions, Mapping[str, Any], Path], Any]
    """Data, settings of the cell and a folder to a training result; writes the model's file to the folder."""


def study_data(size: int, seed: int) -> Transitions:
    """Return `size` transitions of the cart-pole under random forces; the same for the same numbers."""
    return sample_cartpole_transitions(size, np.random.default_rng([seed, size, _STREAM]))


def train_model(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train one model: the function of the cells that plans need.

    Settings: `kind`, a name in `KINDS`; `size` and `seed` of the data; `steps`, None for the defaults of the library.
    """
    trained = KINDS[settings["kind"]].train(study_data(settings["size"], settings["seed"]), settings, context.folder)
    return {"training_seconds": trained.seconds, "validation_loss": trained.validation_loss}


def load_study_model(folder: Path) -> Any:
    """Return the model that a cell has left in its folder."""
    return load_model(folder / MODEL_FILE)


def shortened(training: Settings, steps: int | None) -> Settings:
    """Return settings with so many steps, unchanged for None."""
    if steps is None:
        return training
    every, warmup = min(training.validate_every, steps), min(training.warmup_steps, steps)
    return replace(training, steps=steps, validate_every=every, warmup_steps=warmup)


def _dynamics(data: Transitions, settings: Mapping[str, Any], folder: Path) -> Any:
    return train_dynamics(data, shortened(DynamicsSettings(), settings["steps"]), settings["seed"], folder)


def _score(data: Transitions, settings: Mapping[str, Any], folder: Path) -> Any:
    return train_score(data, shortened(ScoreSettings(), settings["steps"]), settings["seed"], folder)


def _energy(data: Transitions, settings: Mapping[str, Any], folder: Path) -> Any:
    return train_energy(data, shortened(EnergySettings(), settings["steps"]), settings["seed"], folder)


def _triple_score(data: Transitions, settings: Mapping[str, Any], folder: Path) -> Any:
    triples, training = as_triples(data), shortened(ScoreSettings(), settings["steps"])
    return train_score(triples, training, settings["seed"], folder, normalizer=triple_normalizer(triples))


def _ensemble(data: Transitions, settings: Mapping[str, Any], folder: Path) -> Any:
    return train_ensemble(data, shortened(EnsembleSettings(), settings["steps"]), settings["seed"], folder)


def _learned_distance(data: Transitions, settings: Mapping[str, Any], folder: Path) -> Any:
    training = shortened(LearnedDistanceSettings(), settings["steps"])
    if settings["steps"] is not None:
        training = replace(training, pool=_SMALL_POOL)
    return train_learned_distance(data, training, settings["seed"], folder)


KINDS: dict[str, ModelKind] = {
    "dynamics": ModelKind(_dynamics),
    "score": ModelKind(_score),
    "energy": ModelKind(_energy),
    "triple-score": ModelKind(_triple_score),
    "ensemble": ModelKind(_ensemble),
    "learned-distance": ModelKind(_learned_distance),
}
"""By name."""
