"""Collecting pictures as a Minari dataset, and training the three networks of a planner on them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import minari

from trajopt_sgp.data import ImageTransitions, load_image_transitions, write_minari_dataset
from trajopt_sgp.envs import PIXEL_INTEGRATOR_ID, PixelWorld, collect_pixel_episodes
from trajopt_sgp.learning import (
    CoarseScoreSettings,
    ImageDynamicsSettings,
    ImageScoreSettings,
    TrainingResult,
    TrainingSettings,
    train_coarse_score,
    train_image_dynamics,
    train_image_score,
)
from trajopt_sgp.models import CoarseScore
from trajopt_sgp.studies.pixels.models import PixelModels
from trajopt_sgp.studies.training import Report

DATASET_ID = "trajopt_sgp/pixels-{resolution}-seed{seed}-v0"
"""Id under which the pictures are kept, in Minari's root."""
TRANSITION_STRETCH, TRANSITION_PLACES = 8.0, 4
"""Of the score of transitions: how much more changes count, and windows along a side."""


@dataclass(frozen=True)
class PixelTraining:
    """What to collect and how long to train; the defaults take half an hour on one core."""

    transitions: int = 60_000
    """Transitions to collect, in episodes of 20 random steps."""
    dynamics: ImageDynamicsSettings = field(
        default_factory=lambda: ImageDynamicsSettings(
            steps=6000, batch_size=16, learning_rate=4e-3, validation_fraction=0.01
        )
    )
    """Of the network for the next picture."""
    score: ImageScoreSettings = field(
        default_factory=lambda: ImageScoreSettings(
            steps=5000, batch_size=16, learning_rate=4e-3, validation_fraction=0.01
        )
    )
    """Of the network for the score of state and control."""
    coarse: CoarseScoreSettings = field(default_factory=CoarseScoreSettings)
    """Of the network for the score of coarse pictures."""
    transitions_score: CoarseScoreSettings = field(
        default_factory=lambda: CoarseScoreSettings(
            hidden_sizes=(256, 256, 256), architecture="residual", steps=16_000, sigma_range=(0.01, 0.3)
        )
    )
    """Of the network for the score of coarse transitions, which plans without dynamics."""


def collect_pixel_dataset(world: PixelWorld, transitions: int, seed: int) -> ImageTransitions:
    """Return the Minari dataset of random steps of this seed, collected and written first if it is not there.

    One that is there is taken only if it has as many transitions as are asked for.
    """
    dataset_id = DATASET_ID.format(resolution=world.resolution, seed=seed)
    if dataset_id in minari.list_local_datasets():
        known = load_image_transitions(dataset_id)
        if len(known) == transitions:
            return known
    episodes = collect_pixel_episodes(world, transitions, seed)
    environment = gymnasium.make(PIXEL_INTEGRATOR_ID, world={"resolution": world.resolution})
    write_minari_dataset(episodes, dataset_id, environment, overwrite=True)
    environment.close()
    return load_image_transitions(dataset_id)


def train_pixel_models(
    world: PixelWorld,
    folder: Path,
    seed: int,
    training: PixelTraining | None = None,
    report: Report = lambda text: None,
) -> tuple[PixelModels, dict[str, Any]]:
    """Collect, unless the data are there, and train; the trainer resumes what it finds in the folder.

    Returns:
        Models, and their card: data id, hash and size, seed, settings, seconds and metrics.
    """
    training = training or PixelTraining()
    report(f"reading or collecting {training.transitions:,} transitions")
    data = collect_pixel_dataset(world, training.transitions, seed)
    report("training the dynamics")
    dynamics = train_image_dynamics(data, training.dynamics, seed, folder / "dynamics")
    report(f"{dynamics.seconds:.0f} s, validation loss {dynamics.validation_loss:.4f}; training the score")
    score = train_image_score(data, training.score, seed, folder / "score")
    report(f"{score.seconds:.0f} s, validation loss {score.validation_loss:.4f}; training the coarse score")
    coarse = train_coarse_score(data, training.coarse, seed, folder / "coarse")
    report(f"{coarse.seconds:.0f} s, validation loss {coarse.validation_loss:.4f}")
    card = {
        **_origin(data, seed),
        "dynamics": _describe(dynamics, training.dynamics),
        "score": _describe(score, training.score),
        "coarse": _describe(coarse, training.coarse),
    }
    return PixelModels(dynamics.model, score.model, CoarseScore(coarse.model)), card


def train_transition_score(
    world: PixelWorld,
    folder: Path,
    seed: int,
    training: PixelTraining | None = None,
    report: Report = lambda text: None,
) -> tuple[CoarseScore, dict[str, Any]]:
    """Train the score of coarse (x, u, x') on the data of `train_pixel_models`; return it and its card.

    It sees four by four wide windows, and x' as a change that is stretched: steps are a tenth as long as ways.
    """
    training = training or PixelTraining()
    data = collect_pixel_dataset(world, training.transitions, seed)
    report("training the score of transitions")
    found = train_coarse_score(
        data,
        training.transitions_score,
        seed,
        folder / "transitions",
        next_state=True,
        stretch=TRANSITION_STRETCH,
        places=TRANSITION_PLACES,
    )
    report(f"{found.seconds:.0f} s, validation loss {found.validation_loss:.4f}")
    card = {**_origin(data, seed), "transitions": _describe(found, training.transitions_score)}
    return CoarseScore(found.model), card


def _origin(data: ImageTransitions, seed: int) -> dict[str, Any]:
    info = data.dataset
    return {"seed": seed, "data": {"id": info.id, "transitions": info.transitions, "hash": info.hash}}


def _describe(result: TrainingResult[Any], settings: TrainingSettings) -> dict[str, Any]:
    return {
        "parameters": sum(parameter.numel() for parameter in result.model.parameters()),
        "settings": settings.to_json(),
        "seconds": round(result.seconds, 1),
        "validation_loss": result.validation_loss,
        "best_step": result.best_step,
    }
