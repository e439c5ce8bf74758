"""Training what planning for rewards needs beside dynamics and score: outcomes, values, and the behaviour itself."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.data.spread import as_scale, spread
from trajopt_sgp.learning.losses import Batch
from trajopt_sgp.learning.offline_losses import clone_loss, outcome_loss, value_loss
from trajopt_sgp.learning.offline_settings import BehaviourCloneSettings, OutcomeSettings, ValueSettings
from trajopt_sgp.learning.progress import ProgressCallback
from trajopt_sgp.learning.settings import TrainingSettings, chosen
from trajopt_sgp.learning.single_precision import warn_of_coarse_columns
from trajopt_sgp.learning.train import Seeds, run, training_split
from trajopt_sgp.learning.trainer import PathLike, Task, TrainingResult
from trajopt_sgp.models import BehaviourClone, OutcomeModel, StateValue, TransitionModel, fit_normalizer
from trajopt_sgp.models.device import usable_device

AnyModel = TypeVar("AnyModel", bound=TransitionModel)
Columns = Callable[[Transitions], tuple[FloatArray | BoolArray, ...]]


def train_outcome(
    transitions: Transitions,
    settings: OutcomeSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[OutcomeModel]:
    """Train a model of rewards and terminations; arguments and errors as of `train_dynamics`.

    Raises:
        DatasetError: the transitions have no rewards.
    """
    settings = chosen(OutcomeSettings, settings)
    rewards = _rewards(transitions)
    model = OutcomeModel(
        transitions.dataset,
        normalizer or fit_normalizer(transitions),
        settings.hidden_sizes,
        settings.activation,
        _weights(seed),
    ).to(usable_device(device))
    model.reward_mean.fill_(rewards.mean())
    model.reward_scale.fill_(float(as_scale(spread(rewards))))
    task = _task(model, outcome_loss, transitions, settings, seed, _outcome_columns)
    return run(task, settings, seed, folder, progress)


def train_behaviour_clone(
    transitions: Transitions,
    settings: BehaviourCloneSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[BehaviourClone]:
    """Train a policy by maximum likelihood of the controls; arguments and errors as of `train_dynamics`."""
    settings = chosen(BehaviourCloneSettings, settings)
    model = BehaviourClone(
        transitions.dataset,
        normalizer or fit_normalizer(transitions),
        settings.hidden_sizes,
        settings.activation,
        _weights(seed),
    ).to(usable_device(device))
    task = _task(model, clone_loss, transitions, settings, seed, lambda part: (part.states, part.controls))
    return run(task, settings, seed, folder, progress)


def train_value(
    transitions: Transitions,
    settings: ValueSettings | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
    *,
    progress: bool | ProgressCallback = False,
    normalizer: Normalizer | None = None,
    device: torch.device | str = "cpu",
) -> TrainingResult[StateValue]:
    """Train the value of states by expectile regression; arguments and errors as of `train_dynamics`.

    Raises:
        DatasetError: the transitions have no rewards.
    """
    settings = chosen(ValueSettings, settings)
    rewards = _rewards(transitions)
    model = StateValue(
        transitions.dataset,
        normalizer or fit_normalizer(transitions),
        settings.hidden_sizes,
        settings.activation,
        settings.discount,
        _weights(seed),
    ).to(usable_device(device))
    horizon = 1.0 / (1.0 - settings.discount)
    model.value_mean.fill_(horizon * rewards.mean())
    model.value_scale.fill_(horizon * float(as_scale(spread(rewards))))
    loss = partial(value_loss, expectile=settings.expectile)
    task = _task(model, loss, transitions, settings, seed, _value_columns)
    moving = replace(task, after_step=lambda model: model.follow(settings.target_rate), keep_last=True)
    return run(moving, settings, seed, folder, progress)


def _rewards(transitions: Transitions) -> FloatArray:
    """Return the rewards `(K,)`, with a warning where they are the same whatever is done."""
    rewards = transitions.require_rewards()
    if (rewards == rewards[0]).all() and (rewards[0] == 0.0 or not transitions.terminated.any()):
        warnings.warn(
            f"Dataset {transitions.dataset.id!r}: every reward is {rewards[0]:g}, from which nothing is learned that "
            "tells one plan from another. Was it recorded without rewards?",
            stacklevel=3,
        )
    return rewards


def _task(
    model: AnyModel,
    loss: Callable[[AnyModel, Batch, torch.Generator], torch.Tensor],
    transitions: Transitions,
    settings: TrainingSettings,
    seed: int,
    columns: Columns,
) -> Task[AnyModel]:
    seeds = Seeds.spawn(seed)
    warn_of_coarse_columns(transitions)
    training, validation = (
        tuple(torch.tensor(values, dtype=torch.float32, device=model.center.device) for values in columns(part))
        for part in training_split(transitions, settings, seed)
    )
    return Task(model, loss, training, validation, seeds.training, seeds.validation)


def _outcome_columns(part: Transitions) -> tuple[FloatArray | BoolArray, ...]:
    return part.states, part.controls, part.require_rewards(), part.terminated


def _value_columns(part: Transitions) -> tuple[FloatArray | BoolArray, ...]:
    return part.states, part.require_rewards(), part.next_states, part.terminated


def _weights(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(Seeds.spawn(seed).weights)
