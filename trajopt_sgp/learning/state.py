"""The state of a training run between two steps, and its checkpoint."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.models import TransitionModel
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors

Model = TypeVar("Model", bound=TransitionModel)
Record = dict[str, int | float]
"""Numbers by name, of one validation."""


_LONGEST = 100
_HASH = 12


@dataclass
class TrainingState(Generic[Model]):
    """All that the rest of a run depends on."""

    model: Model
    """The weights that Adam moves."""
    average: Model
    """Their moving average."""
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    """Source of the order of the data and of the noise."""
    epoch_start: Tensor
    """State of the generator when the order of the present epoch was drawn."""
    step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    """State of the average at the last validation whose loss was as good as the lowest so far."""
    best_loss: float = math.inf
    best_step: int = 0
    history: list[Record] = field(default_factory=list)
    """One record per validation."""
    seconds: float = 0.0
    """Time spent so far, over all interruptions."""


def initial_state(model: Model, learning_rate: float, seed: int) -> TrainingState[Model]:
    """Return the state before the first step of training `model`."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.99), fused=True)
    return TrainingState(model, copy.deepcopy(model), optimizer, generator, generator.get_state())


def write_checkpoint(state: TrainingState[Any], path: Path, identity: Mapping[str, Any]) -> None:
    """Write the state to a file, whole or not at all. `identity` says which run it belongs to."""
    tensors = {"generator": state.generator.get_state(), "epoch_start": state.epoch_start}
    for part, values in _tensor_groups(state).items():
        tensors.update({f"{part}.{name}": value for name, value in values.items()})
    header = {
        "identity": dict(identity),
        "dataset_id": state.model.dataset.id,
        "step": state.step,
        "best_loss": state.best_loss,
        "best_step": state.best_step,
        "history": state.history,
        "seconds": state.seconds,
    }
    write_tensors(path, header, tensors)


def read_checkpoint(state: TrainingState[Any], path: Path, identity: Mapping[str, Any]) -> None:
    """Bring an initial state to where a checkpoint left off, be it of a run that was to have fewer steps.

    Raises:
        IncompatibleError: the checkpoint belongs to a run with another identity; names what differs.
        ModelFileError: the checkpoint is damaged.
    """
    header, tensors = read_tensors(path)
    names = {"dataset": (header.get("dataset_id"), state.model.dataset.id)}
    _check_identity(header["identity"], identity, path.parent, names)
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "best": {}, "adam": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        if rest:
            groups[part][rest] = value.clone()
    state.model.load_state_dict(groups["model"])
    state.average.load_state_dict(groups["average"])
    state.best = groups["best"]
    _load_adam(state.optimizer, groups["adam"])
    state.generator.set_state(tensors["generator"].clone())
    state.epoch_start = tensors["epoch_start"].clone()
    for name in ("step", "best_loss", "best_step", "history", "seconds"):
        setattr(state, name, header[name])


def _tensor_groups(state: TrainingState[Any]) -> dict[str, dict[str, Tensor]]:
    moments = state.optimizer.state_dict()["state"]
    adam = {f"{index}.{name}": value for index, entry in moments.items() for name, value in entry.items()}
    weights = {"model": state.model.state_dict(), "average": state.average.state_dict(), "best": state.best}
    return {**weights, "adam": adam}


def _load_adam(optimizer: torch.optim.AdamW, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        like = parameters[int(index)]
        # in the order in memory that the parameter has, on which the last digit of a step depends
        kept = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        moments.setdefault(int(index), {})[name] = kept
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_identity(
    found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path, names: Mapping[str, Sequence[str | None]]
) -> None:
    """Refuse a run with another identity, but for a larger number of steps.

    Args:
        found: identity of the run that the checkpoint belongs to.
        wanted: identity of the run that it shall go on in.
        folder: of the checkpoint.
        names: of what is told by a hash, in the one and in the other.
    """
    different = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if not different or (different == ["steps"] and wanted["steps"] > found["steps"]):
        return
    remedy = "it cannot be resumed. Choose another folder, or delete this one to start anew."
    told = [name for name in different if name in found and name in wanted]
    if not told:
        unknown = ", ".join(different)
        raise IncompatibleError(
            f"{folder} holds a training run of another version of this library; one of the two does not tell "
            f"{unknown}, so {remedy}"
        )
    known = names.get(told[0], (None, None))
    before, now = (_named(part[told[0]], name) for part, name in zip((found, wanted), known, strict=True))
    raise IncompatibleError(f"{folder} holds a training run with {told[0]} = {before}, not {now}: {remedy}")


def _named(value: object, name: str | None) -> str:
    return _short(value) if name is None else f"{name!r} (hash {str(value)[:_HASH]})"


def _short(value: object) -> str:
    """Return a value for a message: a normalizer of pictures has thousands of numbers."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
