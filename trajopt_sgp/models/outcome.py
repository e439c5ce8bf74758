"""What follows a transition beside the next state: a reward, and whether the episode ends."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.networks import MLP


class OutcomeModel(TransitionModel):
    """Reward r(x, u) and probability of termination p(x, u), by one network with two outputs.

    Args:
        dataset: the dataset it is trained on; gives n and m.
        normalizer: of z = [x; u].
        hidden_sizes: width of each hidden layer.
        activation: a name from `trajopt_sgp.models.ACTIVATIONS`.
        generator: source of the initial weights.
    """

    reward_mean: Tensor
    """Mean reward in the data, `()`."""
    reward_scale: Tensor
    """Standard deviation of rewards in the data, `()`."""

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
        self.network = MLP(self.state_size + self.control_size, hidden_sizes, 2, activation, generator)
        self.register_buffer("reward_mean", torch.zeros(()))
        self.register_buffer("reward_scale", torch.ones(()))

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Return rewards and log-odds of termination `(...)` of controls `(..., m)` in states `(..., n)`.

        Raises:
            ShapeError: the sizes are not n and m.
        """
        outputs = self.network(self.normalize(state, control))
        return self.reward_mean + self.reward_scale * outputs[..., 0], outputs[..., 1]
