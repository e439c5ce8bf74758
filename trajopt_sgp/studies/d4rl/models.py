"""What a planner for rewards knows, and what it holds to be far from data."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trajopt_sgp.models import BehaviourClone, EnsembleDynamics, OutcomeModel, StateValue, check_same_data
from trajopt_sgp.models.dynamics import ResidualDynamics
from trajopt_sgp.uncertainty import GradientModel, ValueModel

Penalty = Callable[[Tensor, Tensor, float], Tensor]
"""States `(..., n)`, controls `(..., m)` and sigma to penalties `(...)`, differentiable in states and controls."""


@dataclass(frozen=True)
class PlannerModels:
    """What a planner knows; all functions take leading batch dimensions."""

    dynamics: Callable[[Tensor, Tensor], Tensor]
    """States `(..., n)` and controls `(..., m)` to next states `(..., n)`."""
    outcome: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """States and controls to rewards `(...)` and log-odds of termination `(...)`."""
    value: Callable[[Tensor], Tensor]
    """States to what they are worth `(...)`."""
    clone: Callable[[Tensor], Tensor]
    """States to controls `(..., m)` such as the data hold."""
    penalty: Penalty
    """What leaving the data costs."""
    control_low: Tensor
    """Lower bounds of controls `(m,)`."""
    control_high: Tensor
    """Upper bounds of controls `(m,)`."""
    discount: float = 0.99
    """gamma, per step; that of the value."""

    def follow(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return the next states `(..., n)` under the clone's controls and noise `(..., m)`, held within bounds."""
        control, low, high = self.clone(state) + noise, self.control_low, self.control_high
        # not clamp: a compiler of rollouts knows this
        return self.dynamics(state, control + torch.relu(low - control) - torch.relu(control - high))

    @classmethod
    def of(
        cls,
        dynamics: ResidualDynamics,
        outcome: OutcomeModel,
        value: StateValue,
        clone: BehaviourClone,
        penalty: Penalty,
    ) -> "PlannerModels":
        """Join learned models.

        Raises:
            IncompatibleError: they were trained on different data, or normalise differently.
        """
        check_same_data(dynamics, outcome, value, clone)
        for model in (dynamics, outcome, value, clone):
            model.requires_grad_(False)
        step = dynamics.mean_step if isinstance(dynamics, EnsembleDynamics) else dynamics
        return cls(step, outcome, value, clone, penalty, clone.control_low, clone.control_high, discount=value.discount)


def score_penalty(score: GradientModel) -> Penalty:
    """Return the smoothed distance d_sigma through its gradient.

    Its derivative is that of d_sigma; its value is half the squared gradient, the distance to a single data point.

    Source: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, section 3.
    """

    def penalty(state: Tensor, control: Tensor, sigma: float) -> Tensor:
        z = score.normalize(state, control)
        with torch.no_grad():
            gradient = score.distance_gradient(z, sigma)
        # the second term is zero; its derivative is the gradient
        return 0.5 * gradient.square().sum(-1) + ((z - z.detach()) * gradient).sum(-1)

    return penalty


def ensemble_penalty(ensemble: EnsembleDynamics) -> Penalty:
    """Return the variance of the members' steps, in units of the spread of steps in the data, summed over the state."""

    def penalty(state: Tensor, control: Tensor, sigma: float) -> Tensor:
        steps = ensemble.normalized_steps(ensemble.normalize(state, control))
        return steps.var(0).sum(-1)

    return penalty


def distance_penalty(distance: ValueModel) -> Penalty:
    """Return the value of the smoothed distance d_sigma of a model that has one, such as the exact one."""

    def penalty(state: Tensor, control: Tensor, sigma: float) -> Tensor:
        return distance.distance(distance.normalize(state, control), sigma)

    return penalty
