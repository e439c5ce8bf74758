"""One loss per model: `loss(model, batch, generator) -> ()`, the mean over a batch."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.models import Denoiser, EnsembleDynamics, LearnedDistance, LearnedDynamics

Batch = tuple[Tensor, ...]


def dynamics_loss(model: LearnedDynamics, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the mean squared error of x', each coordinate divided by the spread of its steps; draws nothing.

    `batch` is states `(B, n)`, controls `(B, m)`, next states `(B, n)`, in raw units.
    """
    state, control, next_state = batch
    error: Tensor = (model(state, control) - next_state) / model.step_scale
    return error.square().mean()


def ensemble_loss(model: EnsembleDynamics, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the mean over the members of `dynamics_loss`, each on transitions of its own; draws nothing.

    `batch` is states `(B, K, n)`, controls `(B, K, m)`, next states `(B, K, n)`, in raw units.
    """
    state, control, next_state = (values.movedim(1, 0) for values in batch)
    error: Tensor = (model.advance(state, control) - next_state) / model.step_scale
    return error.square().mean()


def distance_loss(model: LearnedDistance, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the mean absolute error of the distance, in units of its spread; draws nothing.

    `batch` is z `(B, d)` in normalised coordinates and distances `(B,)`.

    Source: the data distance estimator of H. J. T. Suh et al., CoRL 2023.
    """
    z, distance = batch
    return ((model.value(z) - distance) / model.value_scale).abs().mean()


def denoising_loss(model: Denoiser, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the denoising score matching loss of the model's gradient field, for a score and an energy alike.

    A data point z is perturbed to z + sigma noise, log sigma uniform over the model's range; the gradient of the
    smoothed distance there is matched to sigma noise, weighted by 1 / c_out^2 so that every level counts the same.
    `batch` is z `(B, d)` in normalised coordinates.

    Source: P. Vincent, A Connection Between Score Matching and Denoising Autoencoders, Neural Computation 2011;
    weighting: Karras et al. 2022, table 1.
    """
    (z,) = batch
    low, high = map(math.log, model.sigma_range)
    sigma = torch.exp(low + (high - low) * torch.rand((len(z), 1), generator=generator)).to(z)
    noise = torch.randn(z.shape, generator=generator).to(z)
    error = model.distance_gradient(z + sigma * noise, sigma) - sigma * noise
    return (error / model.preconditioning.c_out(sigma)).square().mean()
