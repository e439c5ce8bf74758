"""What score and energy networks have in common: a gradient field of the smoothed distance for a range of sigmas."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.models.architectures import make_network
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.preconditioning import NOISE_FEATURES, Preconditioning, noise_levels


class Denoiser(TransitionModel, ABC):
    """A noise-conditioned model of the data density p_sigma, convolved with a Gaussian of standard deviation sigma.

    All of z `(..., d)`, d = n + m, sigma and distances are in normalised coordinates. sigma is a number or a tensor of
    shape `()` or `(..., 1)`. With D(z, sigma) the mean of the data given its noisy version z, the gradient of the
    smoothed squared distance d_sigma is z - D(z, sigma), and the score is -1/sigma^2 times that.

    Args:
        dataset: the dataset it is trained on; gives n and m.
        normalizer: of z = [x; u].
        hidden_sizes: width of each hidden layer; equal but for "mlp".
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        sigma_range: smallest and largest noise level; equal for a network of a single level.
        sigma_data: root mean square of the normalised data.
        generator: source of the initial weights.
        network: a name from `trajopt_sgp.models.ARCHITECTURES`.
        levels: noise levels of the network "level_embedding"; default: ten with equal ratios over the range.

    Raises:
        OptionError: an unknown name, or sizes, noise levels or a range that cannot be.
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
        network: str = "mlp",
        levels: Sequence[float] = (),
    ) -> None:
        low, high = map(float, sigma_range)
        preconditioning = Preconditioning((low, high), float(sigma_data))
        ordered = noise_levels(levels, (low, high)) if network == "level_embedding" else ()
        shape = {"hidden_sizes": list(hidden_sizes), "activation": activation, "network": network}
        noise = {"levels": list(ordered), "sigma_range": [low, high], "sigma_data": float(sigma_data)}
        super().__init__(dataset, normalizer, {**shape, **noise})
        self.preconditioning = preconditioning
        sizes = self.state_size + self.control_size + NOISE_FEATURES, hidden_sizes, self._output_size()
        self.network = make_network(network, *sizes, activation, ordered, generator)

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
