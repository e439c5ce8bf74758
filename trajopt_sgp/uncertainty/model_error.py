"""One-step errors of a model on transitions."""

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.data.spread import step_spread
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem import Dynamics
from trajopt_sgp.problem.dynamics import is_continuous, parameter_names


def model_errors(model: Dynamics, transitions: Transitions, scale: FloatArray) -> FloatArray:
    """Return |x' - f̂(x, u)| of every transition in units of `scale` `(n,)`, `(K,)`.

    Raises:
        NotFiniteError: the model returns NaN or infinity; names the transition.
    """
    errors = scaled_errors(model, transitions.states, transitions.controls, transitions.next_states, scale)
    if not np.isfinite(errors).all():
        row = int(np.argmin(np.isfinite(errors)))
        raise NotFiniteError(f"The model returns NaN or infinity at transition {row}, state {transitions.states[row]}.")
    return errors


@torch.no_grad()
def scaled_errors(
    model: Dynamics, states: FloatArray, controls: FloatArray, after: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return |after - f̂(states, controls)| in units of `scale` `(n,)`, `(..., n), (..., m), (..., n) -> (...)`."""
    predicted = model(torch.from_numpy(np.array(states)), torch.from_numpy(np.array(controls)))
    errors: FloatArray = np.linalg.norm((after - predicted.numpy()) / scale, axis=-1)
    return errors


def spread_of_steps(transitions: Transitions) -> FloatArray:
    """Return the standard deviation of x' - x for each state, `(n,)`.

    Raises:
        DatasetError: a state steps by the same everywhere; names it.
    """
    found = step_spread(transitions)
    if not (found > 0.0).all():
        raise DatasetError(f"State {int(np.argmin(found))} steps by the same everywhere: give error_scale=.")
    return found


def check_model(model: Dynamics, transitions: Transitions) -> None:
    """Check that errors of a model on transitions can be measured.

    Raises:
        OptionError: the model is continuous in time or takes parameters.
        ShapeError: its sizes are not those of the transitions.
    """
    check_step(model, "A certificate", "transitions", (transitions.state_size, transitions.control_size))


def check_step(model: Dynamics, user: str, given: str, sizes: tuple[int, int]) -> None:
    """Check that a model is a step in discrete time that depends on state and control alone, of the given sizes.

    Args:
        model: the model.
        user: what needs it, for messages.
        given: what has these sizes, for messages.
        sizes: n and m.

    Raises:
        OptionError: the model is continuous in time or takes parameters.
        ShapeError: its sizes are others.
    """
    if is_continuous(model) or parameter_names(model):
        raise OptionError(f"{user} needs a discrete-time model x' = f(x, u) without parameters of a problem.")
    own = (model.state_size, model.control_size)
    if own != sizes:
        raise ShapeError(f"The model has {own[0]} states and {own[1]} controls, the {given} {sizes[0]} and {sizes[1]}.")
