"""Networks for pictures of any size: dynamics, scores and the ensemble of a baseline."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.learning import ImageEnsembleSettings, train_image_ensemble
from trajopt_sgp.studies.pixels.training import PixelTraining, collect_pixel_dataset, train_pixel_models
from trajopt_sgp.studies.runner import CellContext

_FILES = ("dynamics", "score", "coarse")


def train_sized(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Collect and train; what was begun goes on. Settings: `resolution`, `channels`, `transitions`, `steps`, `seed`."""
    world, training = PixelWorld(settings["resolution"]), PixelTraining()
    dynamics, score, coarse = settings["steps"]
    channels = tuple(settings["channels"])
    training = replace(
        training,
        transitions=settings["transitions"],
        dynamics=replace(training.dynamics, hidden_sizes=channels, steps=dynamics),
        score=replace(training.score, hidden_sizes=channels, steps=score),
        coarse=replace(training.coarse, steps=coarse),
    )
    _, card = train_pixel_models(world, context.folder, settings["seed"], training)
    for name in _FILES:
        source = context.folder / name / "model.safetensors"
        (context.folder / f"{name}.safetensors").write_bytes(source.read_bytes())
    return {"resolution": settings["resolution"], **card}


def train_sized_ensemble(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train an ensemble on the same data; settings: `resolution`, `transitions`, `steps` and `seed`."""
    data = collect_pixel_dataset(PixelWorld(settings["resolution"]), settings["transitions"], settings["seed"])
    training = ImageEnsembleSettings(steps=settings["steps"])
    found = train_image_ensemble(data, training, settings["seed"], context.folder)
    return {
        "resolution": settings["resolution"],
        "validation_loss": found.validation_loss,
        "parameters": sum(parameter.numel() for parameter in found.model.parameters()),
        "seconds": found.seconds,
    }
