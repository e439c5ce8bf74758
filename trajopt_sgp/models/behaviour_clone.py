"""The policy that the data came from, as far as they tell."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.networks import MLP


class BehaviourClone(TransitionModel):
    """A Gaussian over controls, its mean a network of the state, its spread one for each coordinate.

    Args:
        dataset: the dataset it is trained on; gives n, m and the bounds of controls.
        normalizer: of z = [x; u].
        hidden_sizes: width of each hidden layer.
        activation: a name from `trajopt_sgp.models.ACTIVATIONS`.
        generator: source of the initial weights.
    """

    control_low: Tensor
    control_high: Tensor

    def __init__(
        self,
        dataset: DatasetInfo,
        normalizer: Normalizer,
        hidden_sizes: Sequence[int] = (128, 128),
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        shape = {"hidden_sizes": list(hidden_sizes), "activation": activation}
        super().__init__(dataset, normalizer, shape)
        self.network = MLP(self.state_size, hidden_sizes, self.control_size, activation, generator)
        self.log_spread = nn.Parameter(torch.full((self.control_size,), -1.0))
        for name, bound in (("control_low", dataset.control_low), ("control_high", dataset.control_high)):
            self.register_buffer(name, torch.tensor(bound, dtype=torch.float32), persistent=False)

    def forward(self, state: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """Return the mean control `(..., m)` in states `(..., n)`, in raw units."""
        n = self.state_size
        output: Tensor = self.network((state - self.center[:n]) / self.scale[:n])
        return self.center[n:] + self.scale[n:] * output

    def log_likelihood(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "*batch"]:
        """Return the log-density `(...)` of normalised controls in states `(..., n)`, but for a constant."""
        error: Tensor = (control - self(state)) / (self.scale[self.state_size :] * self.log_spread.exp())
        terms: Tensor = -0.5 * error.square() - self.log_spread
        return terms.sum(-1)

    def sample(
        self, state: Float[Tensor, "*batch n"], generator: torch.Generator, temperature: float = 1.0
    ) -> Float[Tensor, "*batch m"]:
        """Return controls `(..., m)` drawn in states `(..., n)`, their spread times `temperature`, within bounds."""
        mean = self(state)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        drawn: Tensor = mean + temperature * self.scale[self.state_size :] * self.log_spread.exp() * noise
        return drawn.clamp(self.control_low, self.control_high)
