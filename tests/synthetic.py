"""Small made transitions for tests of models and training."""

from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions, describe_dataset


def make_transitions(
    states: FloatArray, controls: FloatArray, next_states: FloatArray, name: str = "test/synthetic-v0", steps: int = 5
) -> Transitions:
    """Transitions in episodes of `steps`, with unbounded spaces."""
    arrays: dict[str, Any] = {
        "states": states,
        "controls": controls,
        "next_states": next_states,
        "episodes": np.arange(len(states)) // steps,
        "terminated": np.zeros(len(states), dtype=np.bool_),
    }
    state_bounds, control_bounds = (
        ([-np.inf] * size, [np.inf] * size) for size in (states.shape[1], controls.shape[1])
    )
    return Transitions(**arrays, dataset=describe_dataset(name, arrays, state_bounds, control_bounds))


def linear_transitions(count: int, seed: int, spread: float = 2.0) -> Transitions:
    """x' = A x + B u + c with n = 3, m = 2; x and u normally distributed in coordinates of different sizes."""
    rng = np.random.default_rng(seed)
    states = rng.normal([1.0, -20.0, 0.0], [spread, 10.0, 0.1], (count, 3))
    controls = rng.normal([0.0, 5.0], [1.0, 30.0], (count, 2))
    step = np.array([[0.9, 0.01, 0.0], [-1.0, 0.8, 3.0], [0.0, 0.002, 1.0]])
    push = np.array([[0.1, 0.0], [0.0, 0.05], [0.01, 0.0]])
    return make_transitions(states, controls, states @ step.T + controls @ push.T + 0.3)
