"""What every model trained on transitions carries: its dataset and the normalisation of z = [x; u]."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from trajopt_sgp.data import DatasetInfo, Normalizer, Transitions
from trajopt_sgp.errors import IncompatibleError, ShapeError


def fit_normalizer(transitions: Transitions) -> Normalizer:
    """Fit the normalizer that maps z = [x; u] of all transitions onto [-1, 1], coordinate by coordinate.

    Its numbers are rounded to float32, so that models in single and in double precision apply the same map.
    """
    return round_normalizer(Normalizer.half_range(np.hstack([transitions.states, transitions.controls])))


def round_normalizer(normalizer: Normalizer) -> Normalizer:
    """Return the normalizer with its numbers rounded to float32."""
    rounded = [array.astype(np.float32).astype(np.float64) for array in (normalizer.center, normalizer.scale)]
    return Normalizer(*rounded)


class TransitionModel(nn.Module):
    """A model of transitions with n state and m control coordinates.

    Args:
        dataset: the dataset it is trained on; gives n and m.
        normalizer: of z = [x; u], n + m coordinates; rounded to float32.
        architecture: the other arguments of the constructor that a file of the model holds, as plain JSON values.

    Raises:
        ShapeError: the normalizer has another number of coordinates.
    """

    dataset: DatasetInfo
    """The dataset the model is trained on."""
    normalizer: Normalizer
    """Of z = [x; u]."""
    architecture: Mapping[str, Any]
    """Constructor arguments besides dataset and normalizer, as plain JSON values."""
    center: Tensor
    scale: Tensor

    def __init__(self, dataset: DatasetInfo, normalizer: Normalizer, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.dataset = dataset
        self.architecture = architecture
        self.normalizer = round_normalizer(normalizer)
        size = self.state_size + self.control_size
        if normalizer.size != size:
            raise ShapeError(f"Dataset {dataset.id!r} needs a normalizer of {size} coordinates, not {normalizer.size}.")
        # not in the state dict: a file holds the normalizer once, in its header
        self.register_buffer("center", torch.tensor(self.normalizer.center, dtype=torch.float32), persistent=False)
        self.register_buffer("scale", torch.tensor(self.normalizer.scale, dtype=torch.float32), persistent=False)

    @property
    def state_size(self) -> int:
        """Number of state coordinates n."""
        return len(self.dataset.state_low)

    @property
    def control_size(self) -> int:
        """Number of control coordinates m."""
        return len(self.dataset.control_low)

    @property
    def time_step(self) -> float | None:
        """Time from a state to the next one in the data [s], where it is known."""
        return self.dataset.time_step

    def normalize(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "*batch d"]:
        """Return z `(..., n + m)`, the normalised [x; u], for states `(..., n)` and controls `(..., m)`.

        Raises:
            ShapeError: the sizes are not n and m.
        """
        if (state.shape[-1], control.shape[-1]) != (self.state_size, self.control_size):
            raise ShapeError(
                f"{type(self).__name__} takes states (..., {self.state_size}) and controls (..., {self.control_size}), "
                f"not {tuple(state.shape)} and {tuple(control.shape)}."
            )
        return (torch.cat((state, control), dim=-1) - self.center) / self.scale


def check_same_data(*models: Any) -> None:
    """Check that models come from one dataset and normalise alike; each has `dataset` and `normalizer`.

    Raises:
        IncompatibleError: datasets with different hashes, or different normalizers; names both models.
    """
    for model in models[1:]:
        _check_pair(models[0], model)


def _check_pair(first: Any, second: Any) -> None:
    names = f"{type(first).__name__}", f"{type(second).__name__}"
    if first.dataset.hash != second.dataset.hash:
        raise IncompatibleError(
            f"{names[0]} was trained on {_dataset_name(first.dataset)}, {names[1]} on {_dataset_name(second.dataset)}: "
            "models that work together must come from the same data."
        )
    if first.normalizer != second.normalizer:
        raise IncompatibleError(
            f"{names[0]} and {names[1]} normalise differently, although both were trained on "
            f"{_dataset_name(first.dataset)}: their distances cannot be compared. Train them with one normalizer."
        )


def _dataset_name(dataset: DatasetInfo) -> str:
    return f"{dataset.id!r} (hash {dataset.hash[:12]})"
