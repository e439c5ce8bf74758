"""Drawing samples of the data density from the gradient of the distance to data, by Langevin's equation."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.generators import torch_generator
from trajopt_sgp.models.inputs import Rows, as_tensor
from trajopt_sgp.uncertainty.protocols import GradientModel
from trajopt_sgp.uncertainty.validation import in_precision_of


@torch.no_grad()
def langevin(
    model: GradientModel,
    z: Float[Rows, "*batch d"],
    sigma: float,
    steps: int,
    step_size: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch d"]:
    """Move points by z <- z + (step_size / 2) score + sqrt(step_size) noise, score = -grad d_sigma / sigma^2.

    For many small steps they become samples of p_sigma, the data convolved with noise sigma. A mode of curvature
    1/sigma^2 is stable for steps below 4 sigma^2.

    Args:
        model: of the distance to data, in normalised coordinates and any precision.
        z: where the chains start, in torch or NumPy; they do not interact, and keep this precision.
        sigma: noise level; of a model without, the level whose distance it has learned.
        steps: number of steps.
        step_size: epsilon, a squared length.
        generator: source of the noise; without one there is none, and points climb to maxima of the density.

    Raises:
        OptionError: the step size or sigma is not positive, sigma outside the range of the model, or the generator not
            one of torch.
    """
    if not step_size > 0.0:
        raise OptionError(f"step_size = {step_size}: it must be positive.")
    if not sigma > 0.0:
        raise OptionError(
            f"sigma = {sigma}: it must be positive. Of a model without noise levels, give the level whose distance it "
            "has learned; one that has learned none, as a variance, has no density to sample."
        )
    source = None if generator is None else torch_generator(generator)
    z = _points(z)
    for _ in range(steps):
        z = z - (0.5 * step_size / sigma**2) * _pull(model, z, sigma)
        if source is not None:
            z = z + math.sqrt(step_size) * torch.randn(z.shape, generator=source, dtype=z.dtype).to(z)
    return z


@torch.no_grad()
def annealed_langevin(
    model: GradientModel,
    z: Float[Rows, "*batch d"],
    sigmas: Sequence[float] | FloatArray,
    steps: int,
    step_size: float,
    generator: torch.Generator | None = None,
    denoise: bool = False,
) -> Float[Tensor, "*batch d"]:
    """Run `langevin` at each of several noise levels in turn.

    Source: Y. Song and S. Ermon, Generative Modeling by Estimating Gradients of the Data Distribution, NeurIPS 2019,
    algorithm 1.

    Args:
        model: of the distance to data, in normalised coordinates.
        z: where the chains start, in torch or NumPy.
        sigmas: noise levels in the order in which they are visited, such as `CosineSchedule(...).sigmas`.
        steps: number of steps at each level.
        step_size: epsilon at the last level; at the others it is larger in proportion to sigma^2.
        generator: source of the noise; without one there is none.
        denoise: end with z - grad d_sigma, the mean of the data that noise of the last level may have brought to z.

    Raises:
        OptionError: no levels, or as `langevin`.
    """
    z, levels = _points(z), [float(sigma) for sigma in sigmas]
    if not levels:
        raise OptionError("annealed_langevin needs at least one noise level in sigmas=.")
    for sigma in levels:
        z = langevin(model, z, sigma, steps, step_size * (sigma / levels[-1]) ** 2, generator)
    return z - _pull(model, z, levels[-1]) if denoise else z


def _points(z: Rows) -> Tensor:
    """Return points as a tensor of floating-point numbers."""
    points = as_tensor(z)
    return points if points.is_floating_point() else points.double()


def _pull(model: GradientModel, z: Tensor, sigma: float) -> Tensor:
    """Return the gradient of the distance, computed in the precision of the model, in that of z."""
    return model.distance_gradient(in_precision_of(model, z), sigma).to(z)
