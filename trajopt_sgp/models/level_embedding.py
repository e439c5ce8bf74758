"""The network of Suh et al. 2023: a multilayer perceptron gated by an embedding of the noise level."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from trajopt_sgp.models.networks import find_activation, initialize, linear_layers
from trajopt_sgp.models.preconditioning import NOISE_FEATURES
from trajopt_sgp.models.residual_mlp import equal_width


class LevelEmbeddingMLP(nn.Module):
    """h_1 = a(W_1 z + b_1), h_{k+1} = a(LayerNorm(e(sigma) * (W_k h_k + b_k))), outputs W h + b.

    One table holds a vector e_j for each of J noise levels, all ones at first, shared by the layers. Between two levels
    e(sigma) is interpolated linearly in log sigma; beyond the levels it is that of the nearest.

    Source: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, who take elu for a and levels only.

    Args:
        input_size: d + `NOISE_FEATURES`; the inputs are z and the features of sigma, of which the last is sigma.
        hidden_sizes: equal widths, of the first layer and of one gated layer for each further entry.
        output_size: number of outputs.
        levels: increasing noise levels, at least one.
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        generator: source of the initial weights; see `initialize`.
        gain: of the initial weights.

    Raises:
        OptionError: an unknown activation, or widths that are not equal and positive.
    """

    knots: Tensor
    """Logarithms of the levels, `(J,)`."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        levels: Sequence[float],
        activation: str = "elu",
        generator: torch.Generator | None = None,
        gain: float = 1.2,
    ) -> None:
        super().__init__()
        self.activation = find_activation(activation)
        width, gated = equal_width("level_embedding", hidden_sizes), len(hidden_sizes) - 1
        sizes = [(input_size - NOISE_FEATURES, width), *[(width, width)] * gated, (width, output_size)]
        self.layers = linear_layers(sizes)
        initialize(self._linear_layers(), generator, gain)
        self.embedding = nn.Parameter(torch.ones(len(levels), width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(gated))
        self.register_buffer("knots", torch.tensor(levels, dtype=torch.float64).log().float(), persistent=False)

    def _linear_layers(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def gate(self, sigma: Float[Tensor, "*batch one"]) -> Float[Tensor, "*batch width"]:
        """Return e(sigma) `(..., width)` for sigma `(..., 1)`."""
        # how far sigma has passed through each interval between two levels, from 0 to 1
        passed = ((sigma.log() - self.knots[:-1]) / self.knots.diff()).clamp(0.0, 1.0)
        ends = torch.ones_like(sigma), torch.zeros_like(sigma)
        weights = torch.cat((ends[0], passed), dim=-1) - torch.cat((passed, ends[1]), dim=-1)
        return weights @ self.embedding

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the outputs `(..., out)` at z and the features of sigma `(..., in)`."""
        last = self._linear_layers()[-1]
        return linear(self._hidden(inputs, self.gate(inputs[..., -1:]))[0], last.weight, last.bias)

    def input_gradient(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch d"]:
        """Return the gradient of the first output with respect to z, `(..., in) -> (..., d)`, in closed form."""
        first, *gated, last = self._linear_layers()
        gate = self.gate(inputs[..., -1:])
        _, first_slope, steps = self._hidden(inputs, gate)
        gradient: Tensor = last.weight[0]
        for layer, step in zip(reversed(gated), reversed(steps), strict=True):
            gradient = (step.pull_back(gradient) * gate) @ layer.weight
        return (gradient * first_slope) @ first.weight

    def _hidden(self, inputs: Tensor, gate: Tensor) -> tuple[Tensor, Tensor, list["_Step"]]:
        """Return the last hidden layer, the slopes of the first one, and what happened in the gated ones."""
        first, *gated, _ = self._linear_layers()
        sums = linear(inputs[..., :-NOISE_FEATURES], first.weight, first.bias)
        hidden, first_slope, steps = self.activation.value(sums), self.activation.derivative(sums), []
        for layer, norm in zip(gated, cast("list[nn.LayerNorm]", list(self.norms)), strict=True):
            sums = gate * linear(hidden, layer.weight, layer.bias)
            centred = sums - sums.mean(-1, keepdim=True)
            spread = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
            outputs = norm.weight * (centred / spread) + norm.bias
            steps.append(_Step(centred / spread, spread, norm.weight * self.activation.derivative(outputs)))
            hidden = self.activation.value(outputs)
        return hidden, first_slope, steps


class _Step(NamedTuple):
    """A layer normalisation and the activation after it, as far as their derivative needs it."""

    unit: Tensor
    """Values of mean zero and about unit variance, `(..., width)`."""
    spread: Tensor
    """What they were divided by, `(..., 1)`."""
    slope: Tensor
    """Derivative of the activation by `unit`, `(..., width)`."""

    def pull_back(self, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to what was normalised, given that with respect to the activation."""
        outer = gradient * self.slope
        along = (outer * self.unit).mean(-1, keepdim=True)
        return (outer - outer.mean(-1, keepdim=True) - along * self.unit) / self.spread
