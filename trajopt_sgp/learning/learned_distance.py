"""Training a network to be the distance to data."""

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.learning.losses import Batch, distance_loss
from trajopt_sgp.learning.progress import ProgressCallback
from trajopt_sgp.learning.settings import LearnedDistanceSettings, chosen
from trajopt_sgp.learning.single_precision import warn_of_coarse_columns
from trajopt_sgp.learning.train import Seeds, run, training_split
from trajopt_sgp.learning.trainer import PathLike, Task, TrainingResult
from trajopt_sgp.models import LearnedDistance, fit_normalizer
from trajopt_sgp.models.calibration import calibrate
from trajopt_sgp.models.device import usable_device
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

_VALIDATION_POINTS = 4096


def train_learned_distance(
    transitions: Transitions,
    settings: LearnedDistanceSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[LearnedDistance]:
    """Regress a network to the exact smoothed distance to the transitions, and calibrate it on those held out.

    The distances of `settings.pool` points are computed before training begins. The validation loss is that of other
    points, drawn alike: the mean absolute error in units of the spread of the distances.

    Arguments and errors as of `train_dynamics`.
    """
    settings = chosen(LearnedDistanceSettings, settings)
    seeds = Seeds.spawn(seed)
    parts = training_split(transitions, settings, seed)
    warn_of_coarse_columns(transitions, stacklevel=3)
    normalizer = normalizer or fit_normalizer(transitions)
    model = LearnedDistance(
        transitions.dataset,
        normalizer,
        settings.hidden_sizes,
        settings.activation,
        settings.sigma,
        torch.Generator().manual_seed(seeds.weights),
    ).to(usable_device(device))
    sigma = settings.sigma
    oracle = ExactSmoothedDistance(parts[0], model.normalizer, sigma_range=(0.5 * sigma, 2.0 * sigma))
    training, validation = (
        _points(oracle, count, settings, np.random.default_rng(s), device)
        for count, s in ((settings.pool, seeds.training), (_VALIDATION_POINTS, seeds.validation))
    )
    model.value_mean.copy_(training[1].mean())
    model.value_scale.copy_(training[1].std())
    task = Task(model, distance_loss, training, validation, seeds.training, seeds.validation)
    unseen = model.normalizer.normalize(np.hstack([parts[1].states, parts[1].controls]))
    held_out = torch.tensor(unseen, dtype=torch.float32, device=device)
    return run(task, settings, seed, folder, progress, lambda done: _calibrate(done.model, held_out))


def draw_points(
    data: FloatArray, count: int, settings: LearnedDistanceSettings, rng: np.random.Generator
) -> FloatArray:
    """Return points `(count, d)` at which a distance to data `(N, d)` is learned, in normalised coordinates.

    Uniform in the box around the data, or half of them there and half data with noise of many scales.
    """
    low, high = data.min(axis=0) - settings.margin, data.max(axis=0) + settings.margin
    points: FloatArray = rng.uniform(low, high, (count, data.shape[1]))
    if settings.sampling == "mixture":
        beside = count // 2
        smallest, largest = np.log(settings.perturbations)
        scales = np.exp(rng.uniform(smallest, largest, (beside, 1)))
        noise = scales * rng.normal(size=(beside, data.shape[1]))
        points[:beside] = data[rng.integers(len(data), size=beside)] + noise
    return points


def _points(
    oracle: ExactSmoothedDistance,
    count: int,
    settings: LearnedDistanceSettings,
    rng: np.random.Generator,
    device: torch.device | str,
) -> Batch:
    points = torch.from_numpy(draw_points(oracle.points.numpy(), count, settings, rng))
    with torch.no_grad():
        distances = oracle.distance(points, settings.sigma)
    return points.to(device, torch.float32), distances.to(device, torch.float32)


def _calibrate(model: LearnedDistance, unseen: Tensor) -> None:
    model.calibration = calibrate(model.distance, unseen, None)
