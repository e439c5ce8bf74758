"""Training on pictures, which stay bytes in memory until a minibatch needs them."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import ImageTransitions, Normalizer, Transitions, as_triples, describe_triples
from trajopt_sgp.data.image_transitions import Bytes
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning.losses import Batch, DenoisingLoss, dynamics_loss, ensemble_loss
from trajopt_sgp.learning.progress import ProgressCallback
from trajopt_sgp.learning.settings import (
    CoarseScoreSettings,
    ImageDynamicsSettings,
    ImageEnsembleSettings,
    ImageScoreSettings,
    ScoreSettings,
    TrainingSettings,
    chosen,
)
from trajopt_sgp.learning.train import Seeds, chosen_denoising_loss, run, train_score
from trajopt_sgp.learning.trainer import PathLike, Task, TrainingResult
from trajopt_sgp.models import Denoiser, EnsembleDynamics, LearnedDynamics, ScoreNetwork
from trajopt_sgp.models.coarse_score import COARSE_SIDE, coarse_dataset, coarse_picture
from trajopt_sgp.models.device import usable_device
from trajopt_sgp.models.dynamics import ResidualDynamics

_VALIDATION_ROWS = 1024
_STATISTICS_ROWS = 4096


def image_normalizer(pixels: int, pictures: int = 2) -> Normalizer:
    """Return the normalizer of pictures of so many pixels that changes nothing: each pixel counts the same."""
    return Normalizer(np.zeros(pictures * pixels), np.ones(pictures * pixels))


def train_image_dynamics(
    images: ImageTransitions,
    settings: ImageDynamicsSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    device: torch.device | str = "cpu",
) -> TrainingResult[LearnedDynamics]:
    """Train a U-Net for the next picture minus the present one; arguments and errors as of `train_dynamics`.

    All pixels are measured by one unit, the root mean square of their changes: one that hardly ever changes would weigh
    most if each had its own. At most 1024 of the transitions held out are looked at.
    """
    settings = chosen(ImageDynamicsSettings, settings)
    seeds = Seeds.spawn(seed)
    training, validation = _split(images, settings, seeds)
    sizes = settings.hidden_sizes, settings.activation
    source = torch.Generator().manual_seed(seeds.weights)
    model = LearnedDynamics(images.dataset, image_normalizer(training.states.shape[1]), *sizes, source, "unet")
    _measure_steps(model.to(usable_device(device)), training)
    batches = _tensors(training, device), _tensors(validation, device)
    task = Task(model, _dynamics_loss, *batches, seeds.training, seeds.validation)
    return run(task, settings, seed, folder, progress)


def train_image_ensemble(
    images: ImageTransitions,
    settings: ImageEnsembleSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    device: torch.device | str = "cpu",
) -> TrainingResult[EnsembleDynamics]:
    """Train U-Nets for the next picture from different weights, each on transitions of its own.

    Arguments and errors as of `train_dynamics`; units as of `train_image_dynamics`.
    """
    settings = chosen(ImageEnsembleSettings, settings)
    seeds = Seeds.spawn(seed)
    training, validation = _split(images, settings, seeds)
    sizes = settings.members, settings.hidden_sizes, settings.activation
    source = torch.Generator().manual_seed(seeds.weights)
    model = EnsembleDynamics(images.dataset, image_normalizer(training.states.shape[1]), *sizes, source, "unet")
    _measure_steps(model.to(usable_device(device)), training)
    drawn = np.random.default_rng(seeds.training)
    count = min(settings.transitions, len(training))
    rows = np.stack([drawn.choice(len(training), count, replace=False) for _ in range(settings.members)], axis=1)
    own = tuple(values[torch.as_tensor(rows, device=device)] for values in _tensors(training, device))
    same = tuple(values[:, None].expand(-1, settings.members, -1) for values in _tensors(validation, device))
    return run(
        Task(model, _ensemble_loss, own, same, seeds.training, seeds.validation), settings, seed, folder, progress
    )


def train_image_score(
    images: ImageTransitions,
    settings: ImageScoreSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    device: torch.device | str = "cpu",
    next_state: bool = False,
) -> TrainingResult[ScoreNetwork]:
    """Train a U-Net as the score of pictures (x, u), or (x, u, x'); arguments and errors as of `train_dynamics`.

    At most 1024 of the transitions held out are looked at. With `next_state` the next picture belongs to it, as
    `ScoreTranscription` needs.
    """
    settings = chosen(ImageScoreSettings, settings)
    seeds = Seeds.spawn(seed)
    training, validation = _split(images, settings, seeds)
    count = 3 if next_state else 2
    first = [_pictures(part[:_STATISTICS_ROWS]) for part in _tensors(training, "cpu")[:count]]
    model = ScoreNetwork(
        describe_triples(images.dataset) if next_state else images.dataset,
        image_normalizer(images.states.shape[1], count),
        settings.hidden_sizes,
        settings.activation,
        settings.sigma_range,
        float(torch.cat(first).square().mean().sqrt()),
        torch.Generator().manual_seed(seeds.weights),
        settings.architecture,
        settings.levels,
    ).to(usable_device(device))
    loss = partial(_score_loss, loss=chosen_denoising_loss(settings))
    batches = _tensors(training, device)[:count], _tensors(validation, device)[:count]
    return run(Task(model, loss, *batches, seeds.training, seeds.validation), settings, seed, folder, progress)


def train_coarse_score(
    images: ImageTransitions,
    settings: ScoreSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    device: torch.device | str = "cpu",
    next_state: bool = False,
    stretch: float = 1.0,
    places: int = COARSE_SIDE,
) -> TrainingResult[ScoreNetwork]:
    """Train the network of a `CoarseScore` on coarse pictures; arguments and errors as of `train_image_score`.

    Coarse pictures keep their common unit; their mean is subtracted. With `next_state` the change of the state
    belongs to them, `stretch` times as large: α of Suh et al. 2023, which has no meaning without it. They have `places`
    windows along a side: fewer and wider ones tell less, and are learned more exactly.

    Raises:
        OptionError: `stretch` is not positive, or is not 1 where there is no next state; fewer than 2 places.
    """
    if places < 2:
        raise OptionError(f"places = {places}: it must be at least 2.")
    if not stretch > 0.0 or (stretch != 1.0 and not next_state):
        raise OptionError(f"stretch = {stretch}: it must be positive, and 1 without next_state=True.")
    transitions = coarse_transitions(images, places)
    if next_state:
        changes = transitions.next_states - transitions.states
        transitions = replace(as_triples(transitions), controls=np.hstack([transitions.controls, changes]))
    settings = settings or CoarseScoreSettings()
    normalizer = coarse_normalizer(transitions, stretch)
    return train_score(transitions, settings, seed, folder, progress=progress, normalizer=normalizer, device=device)


def coarse_transitions(images: ImageTransitions, places: int = COARSE_SIDE) -> Transitions:
    """Return transitions between coarse pictures of p by p windows: what a `CoarseScore` is trained on."""
    states, controls, after = (_coarse(part, places) for part in (images.states, images.controls, images.next_states))
    ends = np.zeros(len(images), dtype=np.bool_)
    return Transitions(states, controls, after, images.episodes, ends, coarse_dataset(images.dataset, places))


def coarse_normalizer(transitions: Transitions, stretch: float = 1.0) -> Normalizer:
    """Return the normalizer of coarse pictures, which subtracts their mean, and stretches changes of the state."""
    mean = np.hstack([transitions.states.mean(axis=0), transitions.controls.mean(axis=0)])
    units = np.ones_like(mean)
    units[2 * transitions.state_size :] /= stretch
    return Normalizer(mean, units)


def _measure_steps(model: ResidualDynamics, images: ImageTransitions) -> None:
    """Let all pixels of a model have one unit, the root mean square of their changes."""
    state, _, after = (_pictures(part[:_STATISTICS_ROWS]) for part in _tensors(images, "cpu"))
    pixels, unit = state.shape[1], float((after - state).square().mean().sqrt())
    model.set_step_statistics(np.zeros(pixels), np.full(pixels, unit))


def _coarse(pictures: Bytes, places: int) -> FloatArray:
    parts = torch.split(torch.from_numpy(pictures), _STATISTICS_ROWS)
    return np.concatenate([coarse_picture(_pictures(part), places).numpy() for part in parts]).astype(np.float64)


def _dynamics_loss(model: LearnedDynamics, batch: Batch, generator: torch.Generator) -> Tensor:
    return dynamics_loss(model, tuple(map(_pictures, batch)), generator)


def _ensemble_loss(model: EnsembleDynamics, batch: Batch, generator: torch.Generator) -> Tensor:
    return ensemble_loss(model, tuple(map(_pictures, batch)), generator)


def _score_loss(model: Denoiser, batch: Batch, generator: torch.Generator, loss: DenoisingLoss) -> Tensor:
    state, *others = map(_pictures, batch)
    return loss(model, (model.normalize(state, torch.cat(others, dim=-1)),), generator)


def _split(
    images: ImageTransitions, settings: TrainingSettings, seeds: Seeds
) -> tuple[ImageTransitions, ImageTransitions]:
    training, validation = images.split(settings.validation_fraction, np.random.default_rng(seeds.split))
    return training, validation.select(np.arange(min(len(validation), _VALIDATION_ROWS)))


def _tensors(images: ImageTransitions, device: torch.device | str) -> Batch:
    arrays = images.states, images.controls, images.next_states
    return tuple(torch.as_tensor(array, device=device) for array in arrays)


def _pictures(values: Tensor) -> Tensor:
    """Return bytes as numbers in [0, 1]."""
    return values.to(torch.float32) / 255.0
