"""One loss per model: `loss(model, batch, generator) -> ()`, the mean over a batch."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.learning.noise import NOISES, NoiseDistribution, edm_weight
from trajopt_sgp.models import Denoiser, EnsembleDynamics, LearnedDistance, LearnedDynamics

Batch = tuple[Tensor, ...]
DenoisingLoss = Callable[[Denoiser, Batch, torch.Generator], Tensor]
"""`denoising_loss` with its noise levels and weights chosen."""


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


def rollout_loss(
    model: LearnedDynamics, batch: Batch, generator: torch.Generator, decay: float = 1.0
) -> Float[Tensor, ""]:
    """Return the mean over the steps of rollouts of what `dynamics_loss` is for one; draws nothing.

    `batch` is states `(B, n)`, controls `(B, H, m)`, next states `(B, H, n)`, in raw units, and what each step counts
    for, `(B, H)`, 0 where its episode has ended. The weight of a step is `decay` times that of the step before.

    Source: A. Benechehab et al., A Multi-step Loss Function for Robust Learning of the Dynamics in Model-based
    Reinforcement Learning, 2024.
    """
    return _rollout_error(model, model.step_scale, batch, decay)


def ensemble_rollout_loss(
    model: EnsembleDynamics, batch: Batch, generator: torch.Generator, decay: float = 1.0
) -> Float[Tensor, ""]:
    """Return the mean over the members of `rollout_loss`, each on rollouts of its own; draws nothing.

    `batch` is as there, with an axis of K members after the first.
    """
    parts = tuple(values.movedim(1, 0) for values in batch)
    return _rollout_error(model.advance, model.step_scale, parts, decay)


def _rollout_error(step: Callable[[Tensor, Tensor], Tensor], scale: Tensor, batch: Batch, decay: float) -> Tensor:
    state, controls, targets, weights = batch
    weights = weights * decay ** torch.arange(controls.shape[-2], dtype=weights.dtype, device=weights.device)
    total = weights.new_zeros(())
    for h in range(controls.shape[-2]):
        state = step(state, controls[..., h, :])
        error = ((state - targets[..., h, :]) / scale).square().mean(-1)
        total = total + (weights[..., h] * error).sum()
    return total / weights.sum()


def distance_loss(model: LearnedDistance, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the mean absolute error of the distance, in units of its spread; draws nothing.

    `batch` is z `(B, d)` in normalised coordinates and distances `(B,)`.

    Source: the data distance estimator of H. J. T. Suh et al., CoRL 2023.
    """
    z, distance = batch
    return ((model.value(z) - distance) / model.value_scale).abs().mean()


def denoising_loss(
    model: Denoiser,
    batch: Batch,
    generator: torch.Generator,
    levels: NoiseDistribution | None = None,
    weight: Callable[[Denoiser, Tensor], Tensor] = edm_weight,
) -> Float[Tensor, ""]:
    """Return the denoising score matching loss of the model's gradient field, for a score and an energy alike.

    A data point z is perturbed to z + sigma noise; the gradient of the smoothed distance there is matched to
    sigma noise. `batch` is z `(B, d)` in normalised coordinates; sigma comes from `levels`, by default with its
    logarithm uniform over the model's range; squared errors are multiplied by `weight`.

    Source: P. Vincent, A Connection Between Score Matching and Denoising Autoencoders, Neural Computation 2011.
    """
    (z,) = batch
    levels = levels or NOISES["log_uniform"](model.sigma_range, ())
    sigma = levels(len(z), generator).to(z)
    noise = sigma * torch.randn((sigma * z).shape, generator=generator).to(z)
    error = model.distance_gradient(z + noise, sigma) - noise
    return (weight(model, sigma) * error.square()).mean()
