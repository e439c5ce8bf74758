"""A residual multilayer perceptron whose blocks are all told the noise level."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.networks import find_activation, initialize, linear_layers
from trajopt_sgp.models.preconditioning import NOISE_FEATURES


class ResidualMLP(nn.Module):
    """h_1 = a(W_1 [z; c] + b_1), h_{k+1} = h_k + a(W_k [h_k; c] + b_k), outputs W h + b; c the noise features.

    Source: K. He et al., Identity Mappings in Deep Residual Networks, ECCV 2016.

    Args:
        input_size: d + `NOISE_FEATURES`, the inputs [z; c].
        hidden_sizes: equal widths, of the first layer and of one block for each further entry.
        output_size: number of outputs.
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        generator: source of the initial weights; see `initialize`.
        gain: of the initial weights.

    Raises:
        OptionError: an unknown activation, or widths that are not equal and positive.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        activation: str = "silu",
        generator: torch.Generator | None = None,
        gain: float = 1.2,
    ) -> None:
        super().__init__()
        self.activation = find_activation(activation)
        self.width, blocks = equal_width("residual", hidden_sizes), len(hidden_sizes) - 1
        block = (self.width + NOISE_FEATURES, self.width)
        self.layers = linear_layers([(input_size, self.width), *[block] * blocks, (self.width, output_size)])
        initialize(self._linear_layers(), generator, gain)

    def _linear_layers(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the outputs `(..., out)` at [z; c] `(..., in)`."""
        return self._hidden(inputs)[0]

    def input_gradient(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch d"]:
        """Return the gradient of the first output with respect to z, `(..., in) -> (..., d)`, in closed form."""
        first, *blocks, last = self._linear_layers()
        first_slope, *slopes = self._hidden(inputs)[1]
        gradient: Tensor = last.weight[0]
        for block, slope in zip(reversed(blocks), reversed(slopes), strict=True):
            gradient = gradient + (gradient * slope) @ block.weight[:, : self.width]
        return (gradient * first_slope) @ first.weight[:, :-NOISE_FEATURES]

    def _hidden(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs, and the slopes of the activations of all layers but the last."""
        first, *blocks, last = self._linear_layers()
        condition = inputs[..., -NOISE_FEATURES:]
        sums = linear(inputs, first.weight, first.bias)
        slopes, hidden = [self.activation.derivative(sums)], self.activation.value(sums)
        for block in blocks:
            sums = linear(torch.cat((hidden, condition), dim=-1), block.weight, block.bias)
            slopes.append(self.activation.derivative(sums))
            hidden = hidden + self.activation.value(sums)
        return linear(hidden, last.weight, last.bias), slopes


def equal_width(architecture: str, hidden_sizes: Sequence[int]) -> int:
    """Return the one width of all hidden layers.

    Raises:
        OptionError: there is none, or they differ, or it is below 1; names the architecture.
    """
    if len(set(hidden_sizes)) != 1 or hidden_sizes[0] < 1:
        raise OptionError(f"A {architecture} network needs hidden layers of one width, not {list(hidden_sizes)}.")
    return hidden_sizes[0]
