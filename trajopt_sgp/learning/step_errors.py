"""How wrong one step of learned dynamics is, state by state: in its own unit, and beside how far the state steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trajopt_sgp.data import Transitions
from trajopt_sgp.data.spread import step_spread
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.models import EnsembleDynamics, LearnedDynamics

LARGE_SHARE = 0.3
"""Share of its typical step by which a prediction is so wrong that plans on it are not likely to hold."""
# by what share of the first validation loss the last one may exceed it
_RISE = 0.05
_CHUNK = 4096
_SHOWN = 5


@dataclass(frozen=True)
class StepError:
    """The error of one predicted step of one state."""

    state: str
    """Name of the state, or its index where the data have no names."""
    error: float
    """Root mean square of predicted minus true next state, in the unit of the state."""
    typical_step: float
    """Standard deviation of the steps that the model was trained on, in the same unit; 0 for a state that never moves
    and is predicted so."""

    @property
    def share(self) -> float:
        """The error as a share of the typical step."""
        return self.error / self.typical_step if self.error else 0.0

    def __str__(self) -> str:
        return f"{self.state} {self.error:.3g} ({100.0 * self.share:.3g} % of a typical step)"


@torch.no_grad()
def step_errors(model: LearnedDynamics | EnsembleDynamics, transitions: Transitions) -> tuple[StepError, ...]:
    """Return the error of one step of every state, in their order, on transitions that the model has not seen.

    `training_split` returns those that training has held out.

    Raises:
        ShapeError: the transitions have other numbers of states or controls than the model.
    """
    sizes = transitions.state_size, transitions.control_size
    if sizes != (model.state_size, model.control_size):
        raise ShapeError(
            f"The model has {model.state_size} states and {model.control_size} controls, the transitions "
            f"{sizes[0]} and {sizes[1]}."
        )
    arrays = transitions.states, transitions.controls, transitions.next_states
    parts = zip(*(torch.split(torch.tensor(array).to(model.step_scale), _CHUNK) for array in arrays), strict=True)
    errors = torch.cat([model(state, control) - after for state, control, after in parts]).to(torch.float64)
    found = errors.square().mean(0).sqrt().tolist()
    moves = torch.from_numpy(step_spread(transitions) > 0.0).to(errors.device) | errors.any(0)
    scales = (model.step_scale * moves).to(torch.float64).tolist()
    names = transitions.dataset.state_names or [f"state {i}" for i in range(model.state_size)]
    return tuple(map(StepError, names, found, scales))


def concern_of_errors(errors: Sequence[StepError]) -> list[str]:
    """Return a sentence about states whose steps are predicted badly, if there are any."""
    bad = sorted((error for error in errors if not error.share <= LARGE_SHARE), key=lambda error: -error.share)
    if not bad:
        return []
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return [
        f"One step on unseen data is wrong by more than {LARGE_SHARE:g} of a typical step: "
        f"{', '.join(map(str, bad[:_SHOWN]))}{more}. Plans on such a model do not hold. Look for a state that is "
        "missing, controls that are a sample off, wrapped angles and noise; else record more data, or train for longer."
    ]


def concern_of_history(losses: Sequence[float]) -> list[str]:
    """Return a sentence about validation losses that have risen from the first on, if they have."""
    if len(losses) < 2 or min(losses) < losses[0] or not losses[-1] - losses[0] > _RISE * abs(losses[0]):
        return []
    return [
        f"The validation loss was lowest when it was first measured, {losses[0]:.3g}, and has risen to "
        f"{losses[-1]:.3g} since: the network learns its training data by heart. Record more data, or train a smaller "
        "network, or for fewer steps, and validate more often."
    ]
