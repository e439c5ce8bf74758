"""Training each model on transitions.

The same transitions, settings and seed give the same bytes on the same machine, also when a run is killed and called
again with the same folder. Called again with more steps, a run goes on, finished or not; see `TrainingSettings.steps`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.data import Normalizer, Transitions, hash_arrays
from trajopt_sgp.data.spread import step_spread
from trajopt_sgp.data.wrapped_angles import warn_of_wrapped_angles
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning.losses import (
    DenoisingLoss,
    denoising_loss,
    dynamics_loss,
    ensemble_loss,
    ensemble_rollout_loss,
    rollout_loss,
)
from trajopt_sgp.learning.noise import NOISES, WEIGHTINGS
from trajopt_sgp.learning.progress import ProgressCallback
from trajopt_sgp.learning.settings import (
    DenoiserSettings,
    DynamicsSettings,
    EnergySettings,
    EnsembleSettings,
    ScoreSettings,
    TrainingSettings,
    chosen,
)
from trajopt_sgp.learning.single_precision import warn_of_coarse_columns
from trajopt_sgp.learning.state import Model
from trajopt_sgp.learning.step_errors import step_errors
from trajopt_sgp.learning.still_states import hold_still, still_states, warn_of_constant_states
from trajopt_sgp.learning.trainer import PathLike, Task, TrainingResult, fit
from trajopt_sgp.learning.windows import windows
from trajopt_sgp.models import (
    Denoiser,
    EnergyNetwork,
    EnsembleDynamics,
    LearnedDynamics,
    ScoreNetwork,
    fit_normalizer,
    save_model,
)
from trajopt_sgp.models.calibration import calibrate
from trajopt_sgp.models.device import usable_device
from trajopt_sgp.models.model_file import MODEL_FILE
from trajopt_sgp.models.preconditioning import noise_levels

_VALIDATION_ROWS = 8192

AnyDenoiser = TypeVar("AnyDenoiser", bound=Denoiser)
AnyDynamics = TypeVar("AnyDynamics", LearnedDynamics, EnsembleDynamics)


def train_dynamics(
    transitions: Transitions,
    settings: DynamicsSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[LearnedDynamics]:
    """Train residual dynamics on the normalised squared error of one step, or of rollouts of several.

    The result has `step_errors`, state by state on what was held out, and `concerns` where something speaks against the
    model; printed, it tells them.

    Args:
        transitions: training data; `settings.validation_fraction` of them, whole episodes, are held out; see
            `Transitions.split`.
        settings: of network and optimisation; default `DynamicsSettings()`.
        seed: of split, initial weights, order and noise.
        folder: made if missing; receives `model.safetensors`, `checkpoint.safetensors`, `metrics.jsonl` and
            `tensorboard/`. Without one nothing is written.
        progress: True for a bar in the terminal, or a callback that gets the record of every validation.
        normalizer: of z = [x; u]; default: fitted to all transitions.
        device: where training runs; the model is returned there.

    Raises:
        DatasetError: there is only one transition.
        OptionError: these are no transitions, or settings of another training; the device cannot be used.
        IncompatibleError: the folder holds a run with other arguments, more steps excepted.
        ModelFileError: the checkpoint in the folder is damaged.
        NotFiniteError: the loss became NaN or infinite; names the step.
    """
    settings = chosen(DynamicsSettings, settings)
    seeds = Seeds.spawn(seed)
    parts = training_split(transitions, settings, seed)
    model = LearnedDynamics(
        transitions.dataset,
        normalizer or fit_normalizer(transitions),
        settings.hidden_sizes,
        settings.activation,
        torch.Generator().manual_seed(seeds.weights),
    ).to(usable_device(device))
    hold = _set_step_statistics(model, parts[0])
    training, validation = (_samples(part, settings, device) for part in parts)
    loss = dynamics_loss
    if settings.rollout_steps > 1:
        loss = partial(rollout_loss, decay=settings.rollout_decay)
    task = Task(model, loss, training, validation, seeds.training, seeds.validation, hold)
    result = run(task, settings, seed, folder, progress)
    return dataclasses.replace(result, step_errors=step_errors(result.model, parts[1]))


def train_ensemble(
    transitions: Transitions,
    settings: EnsembleSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[EnsembleDynamics]:
    """Train all members of an ensemble at once, from different weights and on different minibatches.

    Arguments and errors as of `train_dynamics`. Training data take K times their memory.
    """
    settings = chosen(EnsembleSettings, settings)
    seeds = Seeds.spawn(seed)
    parts = training_split(transitions, settings, seed)
    model = EnsembleDynamics(
        transitions.dataset,
        normalizer or fit_normalizer(transitions),
        settings.members,
        settings.hidden_sizes,
        settings.activation,
        torch.Generator().manual_seed(seeds.weights),
    ).to(usable_device(device))
    hold = _set_step_statistics(model, parts[0])
    rows = _member_rows(len(parts[0]), settings, np.random.default_rng(seeds.training))
    training, validation = (_samples(part, settings, device) for part in parts)
    own = tuple(values[torch.as_tensor(rows, device=device)] for values in training)
    same = tuple(values[:, None].expand(-1, settings.members, *values.shape[1:]) for values in validation)
    loss = ensemble_loss
    if settings.rollout_steps > 1:
        loss = partial(ensemble_rollout_loss, decay=settings.rollout_decay)
    task = Task(model, loss, own, same, seeds.training, seeds.validation, hold)
    result = run(task, settings, seed, folder, progress)
    return dataclasses.replace(result, step_errors=step_errors(result.model, parts[1]))


def _set_step_statistics(model: AnyDynamics, part: Transitions) -> Callable[[AnyDynamics], object]:
    """Measure the steps, warn of what cannot be learned well, and return what holds still states while training."""
    warn_of_coarse_columns(part, steps=True)
    warn_of_constant_states(part)
    warn_of_wrapped_angles(part.next_states - part.states, part.dataset.id, part.dataset.state_names)
    model.set_step_statistics((part.next_states - part.states).mean(axis=0), step_spread(part))
    still = still_states(part)
    if not still.any():
        return lambda trained: None
    hold_still(model, still)
    return partial(hold_still, still=still)


def _samples(part: Transitions, settings: DynamicsSettings, device: torch.device | str) -> tuple[Tensor, ...]:
    """Return single steps, or what follows each of them where the loss looks further."""
    if settings.rollout_steps == 1:
        return _tensors(device, part.states, part.controls, part.next_states)
    return _tensors(device, *windows(part, settings.rollout_steps))


def _member_rows(count: int, settings: EnsembleSettings, rng: np.random.Generator) -> IntArray:
    """Return which of `count` transitions each member learns from, in its own order, `(count, K)`."""
    if settings.bootstrap:
        return rng.integers(count, size=(count, settings.members))
    return np.stack([rng.permutation(count) for _ in range(settings.members)], axis=1)


def train_score(
    transitions: Transitions,
    settings: ScoreSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[ScoreNetwork]:
    """Train a score network by denoising score matching; arguments and errors as of `train_dynamics`."""
    settings = chosen(ScoreSettings, settings)
    task = _denoising_task(ScoreNetwork, transitions, settings, seed, normalizer, device)
    return run(task, settings, seed, folder, progress)


def train_energy(
    transitions: Transitions,
    settings: EnergySettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[EnergyNetwork]:
    """Train an energy network by denoising score matching on its gradient, and calibrate it on the held-out data.

    Arguments and errors as of `train_dynamics`.
    """
    settings = chosen(EnergySettings, settings)
    task = _denoising_task(EnergyNetwork, transitions, settings, seed, normalizer, device)
    return run(task, settings, seed, folder, progress, _calibrate)


def training_split(
    transitions: Transitions, settings: TrainingSettings, seed: int = 0
) -> tuple[Transitions, Transitions]:
    """Return the transitions that models of this seed are trained on, and those held out for validation.

    Raises:
        DatasetError: there is only one transition.
        OptionError: these are no transitions.
    """
    if not hasattr(transitions, "split"):
        raise OptionError(
            f"Training takes Transitions, as of load_transitions or transitions_from_recordings, not "
            f"{type(transitions).__name__}."
        )
    return transitions.split(settings.validation_fraction, np.random.default_rng(Seeds.spawn(seed).split))


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Independent seeds, all from one; the split is the same for every kind of model."""

    split: int
    weights: int
    training: int
    validation: int

    @classmethod
    def spawn(cls, seed: int) -> "Seeds":
        """Return the seeds that follow from one."""
        children = np.random.SeedSequence(seed).generate_state(len(dataclasses.fields(cls)), np.uint32)
        return cls(*children.tolist())


def _denoising_task(
    kind: type[AnyDenoiser],
    transitions: Transitions,
    settings: DenoiserSettings,
    seed: int,
    normalizer: Normalizer | None,
    device: torch.device | str,
) -> Task[AnyDenoiser]:
    seeds = Seeds.spawn(seed)
    parts = training_split(transitions, settings, seed)
    warn_of_coarse_columns(transitions)
    normalizer = normalizer or fit_normalizer(transitions)
    training, validation = (normalizer.normalize(np.hstack([part.states, part.controls])) for part in parts)
    model = kind(
        transitions.dataset,
        normalizer,
        settings.hidden_sizes,
        settings.activation,
        settings.sigma_range,
        float(np.sqrt(np.square(training).mean())),
        torch.Generator().manual_seed(seeds.weights),
        settings.architecture,
        settings.levels,
    ).to(usable_device(device))
    # every held-out point as often as it takes: the noise on few points would drown the differences between losses
    repeated = validation[np.linspace(0, len(validation), _VALIDATION_ROWS, endpoint=False).astype(np.int64)]
    batches = _tensors(device, training), _tensors(device, repeated)
    return Task(model, chosen_denoising_loss(settings), *batches, seeds.training, seeds.validation)


def chosen_denoising_loss(settings: DenoiserSettings) -> DenoisingLoss:
    """Return `denoising_loss` with the noise levels and the weights that settings name."""
    levels = NOISES[settings.noise](settings.sigma_range, noise_levels(settings.levels, settings.sigma_range))
    return partial(denoising_loss, levels=levels, weight=WEIGHTINGS[settings.weighting])


def run(
    task: Task[Model],
    settings: TrainingSettings,
    seed: int,
    folder: PathLike | None,
    progress: bool | ProgressCallback,
    finish: Callable[[Task[Model]], object] = lambda task: None,
) -> TrainingResult[Model]:
    """Train, `finish` the model, and write its file; a folder's checkpoint must be of the same run."""
    identity = {
        "model": type(task.model).__name__,
        "dataset": task.model.dataset.hash,
        "normalizer": task.model.normalizer.to_json(),
        "seed": seed,
        "torch": torch.__version__,
        **settings.to_json(),
        # the dataset knows neither rewards nor which part of it this is
        "training_data": hash_arrays({str(i): values.numpy(force=True) for i, values in enumerate(task.training)}),
    }
    path = None if folder is None else Path(folder)
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
    result = fit(task, settings, path, progress, identity)
    finish(task)
    if path is not None:
        save_model(result.model, path / MODEL_FILE)
    return result


def _calibrate(task: Task[EnergyNetwork]) -> None:
    (z,) = task.validation
    task.model.calibration = calibrate(task.model.distance, z, task.model.sigma_range)


def _tensors(device: torch.device | str, *arrays: FloatArray) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(array, dtype=torch.float32, device=device) for array in arrays)
