"""The three networks of a planner in pixels, and those that ship with the package."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from trajopt_sgp.models import CoarseScore, LearnedDynamics, ScoreNetwork, load_model_as


@dataclass(frozen=True)
class PixelModels:
    """What a plan in pixels needs, all of the same data."""

    dynamics: LearnedDynamics
    """From pictures of state and control to the picture of the next state."""
    score: ScoreNetwork
    """Of pairs of pictures, pixel by pixel: how pictures of the data look."""
    coarse: CoarseScore
    """Of the same pairs seen from afar: where their discs are."""


def read_pixel_models(folder: Path) -> PixelModels:
    """Read the models of a folder: `dynamics.safetensors`, `score.safetensors` and `coarse.safetensors`.

    Raises:
        ModelFileError: a file is missing or damaged.
    """
    return PixelModels(
        load_model_as(LearnedDynamics, folder / "dynamics.safetensors"),
        load_model_as(ScoreNetwork, folder / "score.safetensors"),
        CoarseScore(load_model_as(ScoreNetwork, folder / "coarse.safetensors")),
    )


def shipped_pixel_models() -> PixelModels:
    """Read the models that ship with the package, for the standard world of 32 by 32 pixels.

    Their card, `weights/card.json`, tells data, command, seed, seconds and losses.
    """
    with as_file(files("trajopt_sgp.studies.pixels").joinpath("weights")) as folder:
        return read_pixel_models(folder)


def shipped_transition_score() -> CoarseScore:
    """Read the score of coarse (x, u, x') that ships with the package, of the same data; on the same card."""
    weights = files("trajopt_sgp.studies.pixels").joinpath("weights", "transitions.safetensors")
    with as_file(weights) as file:
        return CoarseScore(load_model_as(ScoreNetwork, file))
