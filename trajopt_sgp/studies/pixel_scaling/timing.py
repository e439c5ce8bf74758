"""What one iteration of guided shooting takes, with networks that have not been trained: the work is the same."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.envs import PixelWorld, sample_pixel_transitions
from trajopt_sgp.learning import image_normalizer
from trajopt_sgp.models import CoarseScore, LearnedDynamics, ScoreNetwork
from trajopt_sgp.models.coarse_score import COARSE_SIDE, coarse_dataset
from trajopt_sgp.studies.long_horizon.budget import PeakMemory
from trajopt_sgp.studies.pixels.guided import PixelGuidance, bent_guess, descend
from trajopt_sgp.studies.pixels.models import PixelModels
from trajopt_sgp.studies.pixels.planning import pixel_problem
from trajopt_sgp.studies.runner import CellContext

_START, _GOAL = [0.6, 0.1], [-0.6, -0.1]


def measure_iteration(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Return seconds of an iteration on the processor, the least of some, and how far memory grew above its start.

    Settings: `channels` of the U-Nets, `resolution`, `horizon` and `repetitions`.
    """
    world = PixelWorld(settings["resolution"])
    models = untrained_models(world, settings["channels"])
    problem = pixel_problem(world, models.dynamics, _START, _GOAL, PixelGuidance().costs(models), settings["horizon"])
    guess = bent_guess(world, _START, _GOAL, 0.0, settings["horizon"])
    batch = replace(guess, states=guess.states[None], controls=guess.controls[None])
    seconds = []
    with PeakMemory() as memory:
        for count in [1, 2] * settings["repetitions"]:
            begin = time.process_time()
            descend(problem, replace(PixelGuidance(), iterations=count), batch)
            seconds.append(time.process_time() - begin)
    return {
        "variables": settings["horizon"] * world.resolution**2,
        "seconds": min(seconds[1::2]) - min(seconds[::2]),
        "peak_megabytes": memory.megabytes,
        "parameters": sum(p.numel() for m in (models.dynamics, models.score) for p in m.parameters()),
    }


def untrained_models(world: PixelWorld, channels: Sequence[int]) -> PixelModels:
    """Return networks of the given sizes with random weights."""
    dataset = sample_pixel_transitions(world, 2, np.random.default_rng(0)).dataset
    normalizer, source = image_normalizer(world.resolution**2), torch.Generator().manual_seed(0)
    dynamics = LearnedDynamics(dataset, normalizer, channels, generator=source, network="unet")
    score = ScoreNetwork(
        dataset, normalizer, channels, sigma_range=(0.02, 2.0), sigma_data=0.15, generator=source, network="unet"
    )
    return PixelModels(dynamics, score, CoarseScore(_coarse_network(dataset, source)))


def _coarse_network(dataset: DatasetInfo, source: torch.Generator) -> ScoreNetwork:
    size = 2 * COARSE_SIDE**2
    normalizer = Normalizer(np.zeros(size), np.ones(size))
    return ScoreNetwork(coarse_dataset(dataset), normalizer, sigma_range=(0.02, 0.5), generator=source)
