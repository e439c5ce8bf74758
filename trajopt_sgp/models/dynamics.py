"""Learned discrete dynamics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.data.spread import as_scale
from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.networks import MLP
from trajopt_sgp.models.unet import UNet

_NETWORKS: dict[str, type[MLP] | type[UNet]] = {"mlp": MLP, "unet": UNet}


class ResidualDynamics(TransitionModel):
    """What learned dynamics have in common: x' = x + mean + scale * step(z), z the normalised [x; u].

    `step_mean` and `step_scale` `(n,)` are mean and standard deviation of x' - x in the data, so that what is learned
    has unit variance.
    """

    step_mean: Tensor
    """Mean of x' - x, `(n,)`."""
    step_scale: Tensor
    """Standard deviation of x' - x, `(n,)`."""

    def __init__(self, dataset: DatasetInfo, normalizer: Normalizer, architecture: Mapping[str, Any]) -> None:
        super().__init__(dataset, normalizer, architecture)
        self.register_buffer("step_mean", torch.zeros(self.state_size))
        self.register_buffer("step_scale", torch.ones(self.state_size))

    @torch.no_grad()
    def set_step_statistics(self, mean: ArrayLike, spread: ArrayLike) -> None:
        """Set `step_mean` and `step_scale` `(n,)`, in raw units; where there is no spread the scale is 1."""
        self.step_mean.copy_(torch.from_numpy(np.asarray(mean)))
        self.step_scale.copy_(torch.from_numpy(as_scale(np.asarray(spread))))


class LearnedDynamics(ResidualDynamics):
    """Residual dynamics x' = x + mean + scale * network(z), z the normalised [x; u].

    Args:
        dataset: the dataset it is trained on; gives n and m.
        normalizer: of z = [x; u].
        hidden_sizes: width of each hidden layer.
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        generator: source of the initial weights.
        network: "mlp"; or "unet" where state and control are pictures, which takes channels for `hidden_sizes`.

    Raises:
        OptionError: an unknown network, or sizes or an activation that it refuses.
    """

    def __init__(
        self,
        dataset: DatasetInfo,
        normalizer: Normalizer,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        activation: str = "silu",
        generator: torch.Generator | None = None,
        network: str = "mlp",
    ) -> None:
        shape = {"hidden_sizes": list(hidden_sizes), "activation": activation, "network": network}
        super().__init__(dataset, normalizer, shape)
        if network not in _NETWORKS:
            raise OptionError(f"Unknown network {network!r} of dynamics; choose from {', '.join(_NETWORKS)}.")
        sizes = self.state_size + self.control_size, hidden_sizes, self.state_size
        self.network = _NETWORKS[network](*sizes, activation, generator)

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the next states `(..., n)` after `state` `(..., n)` under `control` `(..., m)`, in raw units.

        Raises:
            ShapeError: the sizes are not n and m.
        """
        step: Tensor = self.network(self.normalize(state, control))
        return state + self.step_mean + self.step_scale * step
