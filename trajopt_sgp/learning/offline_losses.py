"""Losses of models learned from data with rewards: `loss(model, batch, generator) -> ()`; none of them draws."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from trajopt_sgp.learning.losses import Batch
from trajopt_sgp.models import BehaviourClone, OutcomeModel, StateValue


def outcome_loss(model: OutcomeModel, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the mean squared error of rewards, in units of their spread, plus the cross-entropy of termination.

    `batch` is states `(B, n)`, controls `(B, m)`, rewards `(B,)`, terminations `(B,)`, 0 or 1.
    """
    state, control, reward, terminated = batch
    predicted, log_odds = model(state, control)
    error: Tensor = (predicted - reward) / model.reward_scale
    return error.square().mean() + binary_cross_entropy_with_logits(log_odds, terminated)


def clone_loss(model: BehaviourClone, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
    """Return the mean negative log-likelihood of controls `(B, m)` in states `(B, n)`."""
    state, control = batch
    return -model.log_likelihood(state, control).mean()


def value_loss(
    model: StateValue, batch: Batch, generator: torch.Generator, expectile: float = 0.7
) -> Float[Tensor, ""]:
    """Return the asymmetric squared error of V(x) against r + gamma V'(x'), V' the slow copy; 0 after termination.

    Errors where the target is above count `expectile`, the others one less that, so that V is an expectile over the
    controls in the data. Where the next state follows from x and u alone, as in simulators, it needs no function of
    the control.

    `batch` is states `(B, n)`, rewards `(B,)`, next states `(B, n)`, terminations `(B,)`, 0 or 1.

    Source: I. Kostrikov et al., Offline Reinforcement Learning with Implicit Q-Learning, ICLR 2022, section 4.2.
    """
    state, reward, next_state, terminated = batch
    with torch.no_grad():
        target = reward + model.discount * (1.0 - terminated) * model.target_value(next_state)
    error: Tensor = (target - model(state)) / model.value_scale
    weight = torch.where(error > 0.0, expectile, 1.0 - expectile)
    return (weight * error.square()).mean()
