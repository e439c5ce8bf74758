"""Models by name, and sets of them that are trained together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.learning.learned_distance import train_learned_distance
from trajopt_sgp.learning.offline import train_behaviour_clone, train_outcome, train_value
from trajopt_sgp.learning.offline_settings import BehaviourCloneSettings, OutcomeSettings, ValueSettings
from trajopt_sgp.learning.settings import (
    DynamicsSettings,
    EnergySettings,
    EnsembleSettings,
    LearnedDistanceSettings,
    ScoreSettings,
    TrainingSettings,
)
from trajopt_sgp.learning.train import train_dynamics, train_energy, train_ensemble, train_score
from trajopt_sgp.learning.trainer import TrainingResult
from trajopt_sgp.models import fit_normalizer, round_normalizer

TRAINERS: Mapping[str, tuple[type[TrainingSettings], Callable[..., TrainingResult[Any]]]] = {
    "dynamics": (DynamicsSettings, train_dynamics),
    "score": (ScoreSettings, train_score),
    "energy": (EnergySettings, train_energy),
    "ensemble": (EnsembleSettings, train_ensemble),
    "learned-distance": (LearnedDistanceSettings, train_learned_distance),
    "outcome": (OutcomeSettings, train_outcome),
    "value": (ValueSettings, train_value),
    "clone": (BehaviourCloneSettings, train_behaviour_clone),
}
"""What describes a model and what trains it, by its name."""


def fit_standard_normalizer(transitions: Transitions) -> Normalizer:
    """Fit the normalizer that gives z = [x; u] mean 0 and standard deviation 1, its numbers rounded to float32."""
    return round_normalizer(Normalizer.standard(np.hstack([transitions.states, transitions.controls])))


@dataclass(frozen=True)
class TrainingPreset:
    """Models trained on the same data in the same coordinates."""

    settings: Mapping[str, TrainingSettings]
    """By name of the model."""
    normalizer: Callable[[Transitions], Normalizer] = fit_normalizer
    """Data to the coordinates of all of them."""


TRAINING_PRESETS: Mapping[str, TrainingPreset] = {
    "default": TrainingPreset({name: TRAINERS[name][0]() for name in ("dynamics", "score", "energy")}),
    # 100,000 transitions of robots whose speeds have long tails, hence standard coordinates
    "d4rl": TrainingPreset(
        {
            "ensemble": EnsembleSettings(
                members=5, hidden_sizes=(128, 128), steps=15_000, bootstrap=False, learning_rate=2e-3
            ),
            "outcome": OutcomeSettings(steps=12_000),
            "score": ScoreSettings(
                hidden_sizes=(256, 256),
                steps=12_000,
                learning_rate=3e-3,
                weight_decay=0.05,
                sigma_range=(0.05, 1.0),
            ),
            "value": ValueSettings(hidden_sizes=(256, 256), steps=20_000, expectile=0.5),
            "clone": BehaviourCloneSettings(hidden_sizes=(256, 256), steps=15_000),
        },
        fit_standard_normalizer,
    ),
}
"""By name: what suits 10,000 transitions of a cart-pole, and all that planning for rewards needs."""
