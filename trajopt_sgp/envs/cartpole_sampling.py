"""Fresh cart-pole transitions by the million: the process of the collector, vectorised."""

import numpy as np

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.envs.cartpole_equations import (
    STATE_BOX_HIGH,
    STATE_BOX_LOW,
    CartPoleParameters,
    cartpole_derivative,
)
from trajopt_sgp.envs.registration import CARTPOLE_SWING_UP_ID
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.models.integrators import midpoint
from trajopt_sgp.options import check_counts

_EPISODES_AT_ONCE = 20_000


def sample_cartpole_transitions(
    transitions: int,
    generator: np.random.Generator | None = None,
    episode_steps: int = 10,
    parameters: CartPoleParameters | None = None,
) -> Transitions:
    """Draw transitions as `collect_random_transitions` does in the cart-pole environment, in one batch.

    Episodes of at most `episode_steps` steps start uniformly in the data box, under independent uniform forces; an
    episode ends before the step that leaves the box.

    Args:
        transitions: number of transitions K, at least 1.
        generator: source of all random numbers, by default seeded with 0.
        episode_steps: largest number of steps of an episode, at least 1.
        parameters: the plant; default as in the environment.

    Raises:
        OptionError: a number below 1.
    """
    check_counts("sample_cartpole_transitions", transitions=transitions, episode_steps=episode_steps)
    generator = numpy_generator(generator)
    parameters = parameters or CartPoleParameters()
    parts: list[tuple[AnyArray, ...]] = []
    collected = 0
    while collected < transitions:
        episodes = min(_EPISODES_AT_ONCE, transitions - collected)
        parts.append(_sample_episodes(episodes, generator, episode_steps, parameters))
        collected += len(parts[-1][0])
    states, controls, next_states, starts = (np.concatenate(part)[:transitions] for part in zip(*parts, strict=True))
    arrays = {
        "states": states,
        "controls": controls,
        "next_states": next_states,
        "episodes": np.cumsum(starts, dtype=np.int64) - 1,
        "terminated": np.zeros(transitions, dtype=np.bool_),
    }
    limit = parameters.force_limit
    info = describe_dataset(
        "cartpole-sampled",
        arrays,
        ([-np.inf] * 4, [np.inf] * 4),
        ([-limit], [limit]),
        CARTPOLE_SWING_UP_ID,
        time_step=parameters.time_step,
    )
    return Transitions(**arrays, dataset=info)


def _sample_episodes(
    episodes: int, generator: np.random.Generator, steps: int, parameters: CartPoleParameters
) -> tuple[AnyArray, ...]:
    """Return states, controls, next states and whether an episode starts, episode after episode."""
    state = generator.uniform(STATE_BOX_LOW, STATE_BOX_HIGH, (episodes, 4))
    controls = generator.uniform(-parameters.force_limit, parameters.force_limit, (episodes, steps, 1))
    states, next_states = np.empty((episodes, steps, 4)), np.empty((episodes, steps, 4))
    inside = np.empty((episodes, steps), dtype=np.bool_)
    alive = np.ones(episodes, dtype=np.bool_)

    def derivative(states: FloatArray, controls: FloatArray) -> FloatArray:
        derivative: FloatArray = cartpole_derivative(states, controls, parameters, np)
        return derivative

    for step in range(steps):
        states[:, step] = state
        state = midpoint(derivative, state, controls[:, step], parameters.time_step)
        next_states[:, step] = state
        alive &= ((state >= STATE_BOX_LOW) & (state <= STATE_BOX_HIGH)).all(axis=1)
        inside[:, step] = alive
    starts = np.zeros((episodes, steps), dtype=np.bool_)
    starts[:, 0] = True
    return states[inside], controls[inside], next_states[inside], starts[inside]
