"""The value of states: what good behaviour within the data earns from there on."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.networks import MLP


class StateValue(TransitionModel):
    """V(x), the discounted sum of rewards, and a slow copy of itself that training takes its targets from.

    Args:
        dataset: the dataset it is trained on; gives n.
        normalizer: of z = [x; u]; its first n coordinates are used.
        hidden_sizes: width of each hidden layer.
        activation: a name from `trajopt_sgp.models.ACTIVATIONS`.
        discount: gamma, per step.
        generator: source of the initial weights.

    Raises:
        OptionError: the discount is outside [0, 1).
    """

    value_mean: Tensor
    """Value of the mean reward for ever, `()`."""
    value_scale: Tensor
    """Unit of the network's output, `()`."""

    def __init__(
        self,
        dataset: DatasetInfo,
        normalizer: Normalizer,
        hidden_sizes: Sequence[int] = (128, 128),
        activation: str = "silu",
        discount: float = 0.99,
        generator: torch.Generator | None = None,
    ) -> None:
        shape = {"hidden_sizes": list(hidden_sizes), "activation": activation, "discount": discount}
        super().__init__(dataset, normalizer, shape)
        if not 0.0 <= discount < 1.0:
            raise OptionError(f"discount = {discount}: it must lie in [0, 1).")
        self.discount = discount
        self.network = MLP(self.state_size, hidden_sizes, 1, activation, generator)
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.register_buffer("value_mean", torch.zeros(()))
        self.register_buffer("value_scale", torch.ones(()))

    def forward(self, state: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
        """Return V `(...)` of states `(..., n)`."""
        return self._value(self.network, state)

    def target_value(self, state: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
        """Return what the slow copy holds V `(...)` of states `(..., n)` to be."""
        return self._value(self.target, state)

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """Move the slow copy by a share of its distance towards the network."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.network.parameters()), rate)

    def _value(self, network: MLP, state: Tensor) -> Tensor:
        n = self.state_size
        output: Tensor = network((state - self.center[:n]) / self.scale[:n])
        return self.value_mean + self.value_scale * output[..., 0]
