"""The networks that score and energy can be made of, by name."""

from collections.abc import Sequence

import torch

from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.level_embedding import LevelEmbeddingMLP
from trajopt_sgp.models.networks import MLP
from trajopt_sgp.models.preconditioning import NOISE_FEATURES
from trajopt_sgp.models.residual_mlp import ResidualMLP
from trajopt_sgp.models.unet import UNet

ARCHITECTURES = ("mlp", "residual", "level_embedding")
"""Names of networks that take z and the features of sigma."""

IMAGE_ARCHITECTURES = ("unet",)
"""Names of networks that do so where z is pictures, for scores alone."""

DenoisingNetwork = MLP | ResidualMLP | LevelEmbeddingMLP
"""Outputs at [z; features], and `input_gradient`, whose first d entries are the gradient with respect to z."""

# With smaller initial weights and weight decay, denoisers of some data stall on a plateau for thousands of steps.
_GAIN = 1.5


def make_network(
    architecture: str,
    input_size: int,
    hidden_sizes: Sequence[int],
    output_size: int,
    activation: str,
    levels: Sequence[float],
    generator: torch.Generator | None,
) -> DenoisingNetwork | UNet:
    """Return a network by name; `levels` are increasing, and used by "level_embedding" alone.

    Raises:
        OptionError: an unknown name, or sizes or an activation that the network refuses.
    """
    if architecture == "unet":
        return UNet(input_size, hidden_sizes, output_size, activation, generator, _GAIN, NOISE_FEATURES)
    if architecture == "level_embedding":
        return LevelEmbeddingMLP(input_size, hidden_sizes, output_size, levels, activation, generator, _GAIN)
    kinds: dict[str, type[MLP] | type[ResidualMLP]] = {"mlp": MLP, "residual": ResidualMLP}
    if architecture not in kinds:
        raise OptionError(
            f"Unknown architecture {architecture!r}; choose from {[*ARCHITECTURES, *IMAGE_ARCHITECTURES]}."
        )
    return kinds[architecture](input_size, hidden_sizes, output_size, activation, generator, _GAIN)
