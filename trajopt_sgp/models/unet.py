"""A compact U-Net for pictures that are given and returned as vectors."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, interpolate, linear
from torch.nn.utils import skip_init

from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.networks import Activation, find_activation, initialize, linear_layers

_GROUP = 4
_LARGEST_NUMBER_OF_CHANNELS = 3


class UNet(nn.Module):
    """Residual blocks on pictures at falling and rising resolution, told of sigma and of the whole picture.

    Two channels that hold the coordinates of each pixel join the pictures. Every block shifts and scales its channels,
    after group normalisation, by a vector e: on the way down a function of the features of sigma (zero without any), on
    the way up also of the mean over the lowest resolution, so that far parts of the pictures act on each other.

    Sources: O. Ronneberger et al., U-Net, MICCAI 2015; Y. Wu and K. He, Group Normalization, ECCV 2018; E. Perez et
    al., FiLM, AAAI 2018.

    Args:
        input_size: number of pixels of all pictures, c r² with c up to 3, and features of sigma after them.
        hidden_sizes: channels at each resolution, from r by r on, each half the one before; multiples of 4.
        output_size: number of pixels of the pictures that are returned, a multiple of r².
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        generator: source of the initial weights; see `initialize`.
        gain: of the initial weights.
        features: how many of the inputs are features of sigma.

    Raises:
        OptionError: an unknown activation, sizes that are no pictures, or channels that are no multiples of 4.
    """

    coordinates: Tensor
    """x and y of every pixel in [-1, 1], `(1, 2, r, r)`."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        activation: str = "silu",
        generator: torch.Generator | None = None,
        gain: float = 1.2,
        features: int = 0,
    ) -> None:
        super().__init__()
        self.activation = find_activation(activation)
        self.channels, self.side = picture_shape(input_size - features)
        self.pixels = input_size - features
        self.outputs = _outputs(output_size, self.side)
        _check_channels(hidden_sizes, self.side)
        widths = list(hidden_sizes)
        width = self.width = 2 * widths[0]
        self.told = linear_layers([(features, width)] if features else [])
        self.context = linear_layers([(widths[-1], width)])
        self.first = _convolution(self.channels + 2, widths[0])
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(_Block(fine, fine, width) for fine in widths[:-1])
        self.halve = nn.ModuleList(_convolution(fine, coarse, stride=2) for fine, coarse in pairs)
        self.middle = _Block(widths[-1], widths[-1], width)
        self.up = nn.ModuleList(_Block(fine + coarse, fine, width) for fine, coarse in reversed(pairs))
        self.last_norm = nn.GroupNorm(widths[0] // _GROUP, widths[0])
        self.last = _convolution(widths[0], self.outputs)
        axis = (torch.arange(self.side) + 0.5) * (2.0 / self.side) - 1.0
        self.register_buffer("coordinates", torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None], False)
        initialize(self._layers(), generator, gain)

    def _layers(self) -> Iterator[nn.Linear | nn.Conv2d]:
        return (module for module in self.modules() if isinstance(module, nn.Linear | nn.Conv2d))

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return pictures `(..., outputs r²)` from pictures and the features of sigma `(..., in)`."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        pictures = rows[:, : self.pixels].reshape(-1, self.channels, self.side, self.side)
        told = self._tell(rows)
        hidden = _convolve(self.first, torch.cat((pictures, self.coordinates.expand(len(rows), -1, -1, -1)), dim=1))
        passed = []
        for block, halve in zip(self.down, self.halve, strict=True):
            hidden = block(hidden, told, self.activation)
            passed.append(hidden)
            hidden = _convolve(cast("nn.Conv2d", halve), hidden)
        hidden = self.middle(hidden, told, self.activation)
        context = cast("nn.Linear", self.context[0])
        told = told + linear(hidden.mean((-2, -1)), context.weight, context.bias)
        for block, fine in zip(self.up, reversed(passed), strict=True):
            hidden = block(torch.cat((fine, interpolate(hidden, scale_factor=2.0)), dim=1), told, self.activation)
        hidden = self.activation.value(_normalise(self.last_norm, hidden))
        return _convolve(self.last, hidden).reshape(*inputs.shape[:-1], -1)

    def _tell(self, rows: Tensor) -> Tensor:
        """Return the vector e `(B, width)` of the features of sigma."""
        if not len(self.told):
            return rows.new_zeros(len(rows), self.width)
        layer = cast("nn.Linear", self.told[0])
        return self.activation.value(linear(rows[:, self.pixels :], layer.weight, layer.bias))


class _Block(nn.Module):
    """Two convolutions around a skip, their channels shifted and scaled between them."""

    def __init__(self, inputs: int, outputs: int, told: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(c // _GROUP, c) for c in (inputs, outputs))
        self.first, self.second = _convolution(inputs, outputs), _convolution(outputs, outputs)
        self.film = linear_layers([(told, 2 * outputs)])
        self.skip = nn.ModuleList([] if inputs == outputs else [_convolution(inputs, outputs, size=1)])

    def forward(self, pictures: Tensor, told: Tensor, activation: Activation) -> Tensor:
        before, between = cast("list[nn.GroupNorm]", list(self.norms))
        film = cast("nn.Linear", self.film[0])
        scale, shift = linear(told, film.weight, film.bias)[..., None, None].chunk(2, dim=1)
        hidden = _convolve(self.first, activation.value(_normalise(before, pictures)))
        hidden = activation.value(torch.addcmul(shift, _normalise(between, hidden), 1.0 + scale))
        skipped = _convolve(cast("nn.Conv2d", self.skip[0]), pictures) if len(self.skip) else pictures
        return skipped + _convolve(self.second, hidden)


def picture_shape(size: int) -> tuple[int, int]:
    """Return the number of square pictures and their side that `size` pixels are: 2048 are two of 32 by 32.

    Raises:
        OptionError: they are no one, two or three square pictures.
    """
    for channels in range(1, _LARGEST_NUMBER_OF_CHANNELS + 1):
        side = math.isqrt(max(size, 0) // channels)
        if side > 0 and channels * side**2 == size:
            return channels, side
    raise OptionError(f"A unet takes one, two or three square pictures, not {size} numbers.")


def _outputs(size: int, side: int) -> int:
    if size < 1 or size % side**2:
        raise OptionError(f"A unet returns pictures of {side} by {side} pixels, not {size} numbers.")
    return size // side**2


def _check_channels(channels: Sequence[int], side: int) -> None:
    if len(channels) < 2 or any(c < _GROUP or c % _GROUP for c in channels):
        raise OptionError(f"A unet needs channels for two resolutions or more, multiples of {_GROUP}, not {channels}.")
    if side % 2 ** (len(channels) - 1):
        raise OptionError(f"Pictures of {side} by {side} pixels cannot be halved {len(channels) - 1} times.")


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    # skip_init: the usual initialisation would draw from the global generator
    layer: nn.Conv2d = skip_init(nn.Conv2d, inputs, outputs, size, stride, size // 2)  # type: ignore[no-untyped-call]
    return layer


def _convolve(layer: nn.Conv2d, pictures: Tensor) -> Tensor:
    # not layer(pictures): at batch one, in rollouts, calling a module costs as much as its product
    return conv2d(pictures, layer.weight, layer.bias, cast("tuple[int, int]", layer.stride), layer.padding)


def _normalise(layer: nn.GroupNorm, pictures: Tensor) -> Tensor:
    return group_norm(pictures, layer.num_groups, layer.weight, layer.bias, layer.eps)
