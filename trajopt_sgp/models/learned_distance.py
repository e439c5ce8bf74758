"""A network that has learned the smoothed distance to data as a function."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.networks import MLP
from trajopt_sgp.models.without_sigma import WithoutSigma


class LearnedDistance(TransitionModel, WithoutSigma):
    """mean + scale * network(z), regressed to d_sigma at one sigma: the data distance estimator.

    Source: as a baseline in H. J. T. Suh et al., CoRL 2023.

    Args:
        dataset: the dataset whose distance it learns; gives n and m.
        normalizer: of z = [x; u].
        hidden_sizes: width of each hidden layer.
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        sigma: noise level of the distance that it learns, fixed.
        generator: source of the initial weights.

    Raises:
        OptionError: sigma is not positive.
    """

    value_mean: Tensor
    """Mean of the distances in training, `()`."""
    value_scale: Tensor
    """Their standard deviation, `()`."""

    def __init__(
        self,
        dataset: DatasetInfo,
        normalizer: Normalizer,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        activation: str = "silu",
        sigma: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        shape = {"hidden_sizes": list(hidden_sizes), "activation": activation, "sigma": sigma}
        super().__init__(dataset, normalizer, shape)
        if not sigma > 0.0:
            raise OptionError(f"sigma = {sigma}: the noise level of a learned distance must be positive.")
        self._sigma = sigma
        self.network = MLP(self.state_size + self.control_size, hidden_sizes, 1, activation, generator)
        self.register_buffer("value_mean", torch.zeros(()))
        self.register_buffer("value_scale", torch.ones(()))

    @property
    def sigma(self) -> float:
        """Noise level of the distance that it has learned."""
        return self._sigma

    def value(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the learned d_sigma, `(..., d) -> (...)`."""
        output: Tensor = self.network(z)
        return self.value_mean + self.value_scale * output.squeeze(-1)
