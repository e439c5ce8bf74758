"""States that a model of dynamics need not learn: they step by the same everywhere, or not at all."""

import warnings

import numpy as np
import torch

from trajopt_sgp.data import Transitions
from trajopt_sgp.data.spread import step_spread
from trajopt_sgp.models import MLP, EnsembleDynamics, LearnedDynamics
from trajopt_sgp.models.ensemble import EnsembleMLP


def still_states(transitions: Transitions) -> torch.Tensor:
    """Return a mask `(n,)` of the states whose steps do not vary."""
    return torch.from_numpy(step_spread(transitions) == 0.0)


def hold_still(model: LearnedDynamics | EnsembleDynamics, still: torch.Tensor) -> None:
    """Let the states of a mask `(n,)` step by their mean exactly, which a network only comes near to."""
    if isinstance(model.network, MLP | EnsembleMLP):
        model.network.silence(still)


def warn_of_constant_states(transitions: Transitions) -> None:
    """Warn of states that have one value in all data."""
    names = transitions.dataset.state_names or [str(i) for i in range(transitions.state_size)]
    values = np.vstack([transitions.states, transitions.next_states])
    constant = [f"{names[i]} = {values[0, i]:g}" for i in np.flatnonzero((values == values[0]).all(axis=0))]
    if constant:
        warnings.warn(
            f"Dataset {transitions.dataset.id!r}: some states never change in the data trained on, "
            f"{', '.join(constant)}. The model keeps them as they are, whatever they do in truth. Leave them out of "
            "the states unless that is right.",
            stacklevel=4,
        )
