"""What score and energy networks have in common: a gradient field of the smoothed distance for a range of sigmas."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.networks import MLP
from trajopt_sgp.models.preconditioning import NOISE_FEATURES, Preconditioning

# With smaller initial weights and weight decay, denoisers of some data stall on a plateau for thousands of steps.
_GAIN = 1.5


class Denoiser(TransitionModel):
    """A noise-conditioned model of the data density p_sigma, convolved with a Gaussian of standard deviation sigma.

    All of z `(..., d)`, d = n + m, sigma and distances are in normalised coordinates. sigma is a number or a tensor of
    shape `()` or `(..., 1)`. With D(z, sigma) the mean of the data given its noisy version z, the gradient of the
    smoothed squared distance d_sigma is z - D(z, sigma), and the score is -1/sigma^2 times that.

    Args:
        dataset: the dataset it is trained on; gives n and m.
        normalizer: of z = [x; u].
        hidden_sizes: width of each hidden layer.
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        sigma_range: smallest and largest noise level.
        sigma_data: root mean square of the normalised data.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        dataset: DatasetInfo,
        normalizer: Normalizer,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        activation: str = "silu",
        sigma_range: Sequence[float] = (0.02, 0.6),
        sigma_data: float = 0.577,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(dataset, normalizer)
        self._architecture = {"hidden_sizes": list(hidden_sizes), "activation": activation}
        low, high = map(float, sigma_range)
        self.preconditioning = Preconditioning((low, high), float(sigma_data))
        size = self.state_size + self.control_size
        self.network = MLP(size + NOISE_FEATURES, hidden_sizes, self._output_size(), activation, generator, _GAIN)

    @property
    def architecture(self) -> dict[str, Any]:
        """Constructor arguments besides dataset and normalizer, as plain JSON values."""
        scaling = self.preconditioning
        return {**self._architecture, "sigma_range": list(self.sigma_range), "sigma_data": scaling.sigma_data}

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level the network is trained for."""
        return self.preconditioning.sigma_range

    @abstractmethod
    def _output_size(self) -> int:
        """Return the number of outputs of the network."""

    @abstractmethod
    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return the gradient of d_sigma, z - D(z, sigma) = -sigma^2 grad log p_sigma, `(..., d) -> (..., d)`.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """

    def denoise(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return D(z, sigma) `(..., d)`, the mean of the data points that noise sigma may have brought to z."""
        return z - self.distance_gradient(z, sigma)

    def score(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return grad log p_sigma `(..., d)` at z `(..., d)`."""
        return -self.distance_gradient(z, sigma) / sigma**2
