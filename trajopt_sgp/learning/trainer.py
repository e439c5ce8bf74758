"""The one training loop: minibatches, moving average, validation, early stop, checkpoints."""

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.errors import NotFiniteError, OptionError
from trajopt_sgp.learning.losses import Batch
from trajopt_sgp.learning.metrics import MetricsLog
from trajopt_sgp.learning.progress import ProgressCallback, progress_callback
from trajopt_sgp.learning.settings import TrainingSettings
from trajopt_sgp.learning.state import (
    Model,
    Record,
    TrainingState,
    initial_state,
    read_checkpoint,
    write_checkpoint,
)
from trajopt_sgp.learning.step_errors import StepError, concern_of_errors, concern_of_history

PathLike = str | os.PathLike[str]

_VALIDATION_CHUNK = 4096


@dataclass(frozen=True)
class Task(Generic[Model]):
    """What is trained on what."""

    model: Model
    """With its initial weights; it is trained in place."""
    loss: Callable[[Model, Batch, torch.Generator], Tensor]
    """Mean loss of a batch, from `trajopt_sgp.learning.losses`."""
    training: Batch
    """Tensors of K rows each."""
    validation: Batch
    """Tensors of held-out rows."""
    training_seed: int
    """Of the order of the data and of the noise."""
    validation_seed: int
    """Of the noise in validation, the same every time."""
    after_step: Callable[[Model], object] = lambda model: None
    """What is done to the model after every step of the optimiser, such as moving targets along."""
    keep_last: bool = False
    """Whether the last weights are returned whatever their loss, as where it is measured by moving targets."""


@dataclass(frozen=True, repr=False)
class TrainingResult(Generic[Model]):
    """A trained model and how it came about."""

    model: Model
    """The moving average of the weights, at the last validation whose loss was as good as the lowest."""
    history: list[Record]
    """One record per validation: step, epoch, training_loss, validation_loss, learning_rate."""
    seconds: float
    """Wall time, over all interruptions [s]."""
    validation_loss: float
    """The loss on unseen transitions, of this model."""
    best_step: int
    """After how many steps it was reached."""
    step_errors: Sequence[StepError] = ()
    """Of dynamics: the error of one step of every state on unseen transitions."""

    @property
    def concerns(self) -> list[str]:
        """What speaks against using the model, a sentence each."""
        losses = [float(record["validation_loss"]) for record in self.history]
        return [*concern_of_errors(self.step_errors), *concern_of_history(losses)]

    @property
    def validation_rmse(self) -> float:
        """Root of the validation loss: for dynamics the normalised root-mean-square error of one step.

        Raises:
            OptionError: the loss is no square, as a likelihood's is not.
        """
        if self.validation_loss < 0.0:
            raise OptionError(f"A validation loss of {self.validation_loss:.3g} is no square: it has no root.")
        return math.sqrt(self.validation_loss)

    def __str__(self) -> str:
        worst = max(self.step_errors, key=lambda error: error.share, default=None)
        told = [
            f"validation loss {self.validation_loss:.4g} after {self.best_step} of {self.history[-1]['step']} steps",
            *([] if worst is None else [f"worst one-step error {worst}"]),
            f"{self.seconds:.3g} s",
        ]
        concerns = "".join(f". {concern}" for concern in self.concerns).removesuffix(".")
        return f"{type(self.model).__name__} of {self.model.dataset.id!r}: {', '.join(told)}{concerns}"

    def __repr__(self) -> str:
        return f"TrainingResult({self})"


def fit(
    task: Task[Model],
    settings: TrainingSettings,
    folder: Path | None,
    progress: bool | ProgressCallback,
    identity: dict[str, Any],
) -> TrainingResult[Model]:
    """Train a model, from where the folder's checkpoint left off if there is one; more steps than it had are added.

    Args:
        task: the model, its loss and its data.
        settings: of the optimisation.
        folder: exists; for checkpoint and metrics. Nothing is written without one.
        progress: a callback, True for a bar in the terminal, False for silence.
        identity: everything the result depends on, as JSON; a checkpoint with another one is refused, unless it is one
            of fewer `steps`.

    Raises:
        IncompatibleError: the folder holds another run.
        ModelFileError: the checkpoint is damaged.
        NotFiniteError: the loss became NaN or infinite; names the step.
    """
    state = initial_state(task.model, settings.learning_rate, task.training_seed)
    checkpoint = None if folder is None else folder / "checkpoint.safetensors"
    if checkpoint is not None and checkpoint.exists():
        read_checkpoint(state, checkpoint, identity)
    title = type(task.model).__name__
    with (
        limited_threads(settings.threads),
        progress_callback(progress, title, settings.steps) as report,
        _metrics_log(state, settings, folder) as log,
    ):
        while not _finished(state, settings):
            record = _train_until_validation(state, task, settings)
            if log is not None and checkpoint is not None:
                log.write(record)
                write_checkpoint(state, checkpoint, identity)
            report(record)
    state.model.load_state_dict(state.best)
    return TrainingResult(state.model, state.history, state.seconds, state.best_loss, state.best_step)


def _metrics_log(
    state: TrainingState[Model], settings: TrainingSettings, folder: Path | None
) -> MetricsLog | nullcontext[None]:
    if folder is None or _finished(state, settings):
        return nullcontext()
    return MetricsLog(folder, state.history)


def _finished(state: TrainingState[Model], settings: TrainingSettings) -> bool:
    stalled = settings.patience > 0 and state.step - state.best_step >= settings.patience
    return state.step >= settings.steps or stalled


def _train_until_validation(state: TrainingState[Model], task: Task[Model], settings: TrainingSettings) -> Record:
    start = time.perf_counter()
    rows = len(task.training[0])
    batch_size = min(settings.batch_size, rows)
    batches = rows // batch_size
    order = _epoch_order(state, rows) if state.step % batches else None
    end = min(state.step + settings.validate_every, settings.steps)
    losses = []
    while state.step < end:
        position = state.step % batches
        if order is None or position == 0:
            order = _next_order(state, rows)
        chosen = order[position * batch_size : (position + 1) * batch_size].to(task.training[0].device)
        batch = tuple(values[chosen] for values in task.training)
        losses.append(_step(state, task, batch, settings))
    record = _validate(state, task, settings.validation_tolerance)
    record.update(
        epoch=state.step / batches,
        training_loss=math.fsum(losses) / len(losses),
        learning_rate=_learning_rate(state.step - 1, settings),
    )
    state.history.append(record)
    state.seconds += time.perf_counter() - start
    return record


def _step(state: TrainingState[Model], task: Task[Model], batch: Batch, settings: TrainingSettings) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = _learning_rate(state.step, settings)
        group["weight_decay"] = _weight_decay(state.step, settings)
    loss = task.loss(state.model, batch, state.generator)
    value = loss.item()
    state.step += 1
    if not math.isfinite(value):
        raise NotFiniteError(
            f"The training loss of {type(state.model).__name__} is {value} at step {state.step}: "
            f"try a learning rate below {settings.learning_rate}."
        )
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    task.after_step(state.model)
    _average_weights(state, settings.ema_decay)
    return value


def _learning_rate(step: int, settings: TrainingSettings) -> float:
    rate = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup_steps))
    if settings.schedule == "cosine":
        rate *= 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
    return rate


def _weight_decay(step: int, settings: TrainingSettings) -> float:
    # early on it would hold small weights on a plateau
    return settings.weight_decay * min(1.0, 2.0 * step / settings.steps)


@torch.no_grad()
def _average_weights(state: TrainingState[Model], decay: float) -> None:
    # early on the average follows quickly, to forget the initial weights
    decay = min(decay, state.step / (state.step + 9))
    torch._foreach_lerp_(list(state.average.parameters()), list(state.model.parameters()), 1.0 - decay)


@torch.no_grad()
def _validate(state: TrainingState[Model], task: Task[Model], tolerance: float) -> Record:
    generator = torch.Generator().manual_seed(task.validation_seed)
    chunks = zip(*(torch.split(values, _VALIDATION_CHUNK) for values in task.validation), strict=True)
    total = math.fsum(task.loss(state.average, chunk, generator).item() * len(chunk[0]) for chunk in chunks)
    loss = total / len(task.validation[0])
    if not math.isfinite(loss):
        raise NotFiniteError(
            f"The validation loss of {type(state.model).__name__} is {loss} at step {state.step}: look for outliers in "
            "the data, or try a lower learning rate."
        )
    lowest = min((record["validation_loss"] for record in state.history), default=0.0)
    if task.keep_last or not state.history or loss < lowest + tolerance * abs(lowest):
        state.best_loss, state.best_step = loss, state.step
        state.best = {name: value.clone() for name, value in state.average.state_dict().items()}
    return {"step": state.step, "validation_loss": loss}


def _next_order(state: TrainingState[Model], rows: int) -> Tensor:
    state.epoch_start = state.generator.get_state()
    return torch.randperm(rows, generator=state.generator)


def _epoch_order(state: TrainingState[Model], rows: int) -> Tensor:
    """Draw the order of the present epoch once more."""
    again = torch.Generator()
    again.set_state(state.epoch_start)
    return torch.randperm(rows, generator=again)
