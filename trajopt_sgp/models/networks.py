"""Multilayer perceptrons with smooth activations, and their gradient with respect to the input in closed form."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

from trajopt_sgp.errors import OptionError
from trajopt_sgp.generators import torch_generator


@dataclass(frozen=True)
class Activation:
    """A smooth activation function and its derivative, both elementwise and differentiable."""

    value: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


def _silu_derivative(inputs: Tensor) -> Tensor:
    gate = torch.sigmoid(inputs)
    return gate * (1.0 + inputs * (1.0 - gate))


def _tanh_derivative(inputs: Tensor) -> Tensor:
    return 1.0 - torch.tanh(inputs).square()


def _elu_derivative(inputs: Tensor) -> Tensor:
    return inputs.clamp_max(0.0).exp()


ACTIVATIONS = {
    "elu": Activation(nn.functional.elu, _elu_derivative),
    "silu": Activation(nn.functional.silu, _silu_derivative),
    "softplus": Activation(nn.functional.softplus, torch.sigmoid),
    "tanh": Activation(torch.tanh, _tanh_derivative),
}
"""Activations by name; all but elu are infinitely differentiable, as solvers with second derivatives require."""


@torch.no_grad()
def initialize(layers: Iterable[nn.Linear | nn.Conv2d], generator: torch.Generator | None, gain: float) -> None:
    """Draw weights uniformly within gain/sqrt(inputs) of zero, and biases within 1/sqrt(inputs), inputs of one output.

    Without a generator they come from one seeded with 0.
    """
    generator = torch_generator(generator)
    for layer in layers:
        bound = 1.0 / math.sqrt(layer.weight[0].numel())
        layer.weight.uniform_(-gain * bound, gain * bound, generator=generator)
        if layer.bias is not None:  # as far as types know, a convolution may have none
            layer.bias.uniform_(-bound, bound, generator=generator)


def linear_layers(pairs: Iterable[tuple[int, int]]) -> nn.ModuleList:
    """Return linear layers of the given numbers of inputs and outputs, for `initialize` to fill."""
    # skip_init: the usual initialisation would draw from the global generator
    return nn.ModuleList(skip_init(nn.Linear, *pair) for pair in pairs)  # type: ignore[no-untyped-call]


def find_activation(name: str) -> Activation:
    """Return an activation by its name.

    Raises:
        OptionError: there is none of that name; lists those that there are.
    """
    if name not in ACTIVATIONS:
        raise OptionError(f"Unknown activation {name!r}; choose from {sorted(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


class MLP(nn.Module):
    """Linear layers with an activation between them: inputs `(..., in)`, outputs `(..., out)`.

    Args:
        input_size: number of inputs.
        hidden_sizes: width of each hidden layer; at least one.
        output_size: number of outputs.
        activation: a name from `ACTIVATIONS`.
        generator: source of the initial weights, by default seeded with 0; see `initialize`.
        gain: of the initial weights.

    Raises:
        OptionError: an unknown activation, no hidden layer, or a size below 1.
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
        sizes = [input_size, *hidden_sizes, output_size]
        if len(sizes) < 3 or min(sizes) < 1:
            raise OptionError(f"An MLP needs at least one hidden layer and sizes of at least 1, not {sizes}.")
        self.layers = linear_layers(itertools.pairwise(sizes))
        initialize(self._linear_layers(), generator, gain)

    def _linear_layers(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the outputs `(..., out)` at `inputs` `(..., in)`."""
        *hidden, last = self._linear_layers()
        # not layer(inputs): at batch one, in rollouts, calling a module costs more than its product
        for layer in hidden:
            inputs = self.activation.value(nn.functional.linear(inputs, layer.weight, layer.bias))
        return nn.functional.linear(inputs, last.weight, last.bias)

    @torch.no_grad()
    def silence(self, outputs: Tensor) -> None:
        """Let the outputs of a mask `(out,)` be zero, whatever the inputs."""
        last = self._linear_layers()[-1]
        last.weight[outputs] = 0.0
        last.bias[outputs] = 0.0

    def input_gradient(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch inputs"]:
        """Return the gradient of the first output with respect to the inputs, `(..., in) -> (..., in)`.

        It is written out as one forward and one backward sweep of ordinary operations, so that autograd, `torch.func`
        and tracing pass through it as through any other function.
        """
        *hidden, last = self._linear_layers()
        slopes = []
        for layer in hidden:
            sums = layer(inputs)
            slopes.append(self.activation.derivative(sums))
            inputs = self.activation.value(sums)
        gradient: Tensor = last.weight[0]
        for layer, slope in zip(reversed(hidden), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ layer.weight
        return gradient
