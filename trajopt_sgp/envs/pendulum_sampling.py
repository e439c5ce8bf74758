"""Transitions of the pendulum in keypoints, drawn uniformly from the data box."""

import numpy as np

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.envs.pendulum_equations import (
    STATE_BOX_HIGH,
    STATE_BOX_LOW,
    PendulumParameters,
    keypoints,
    pendulum_step,
)
from trajopt_sgp.envs.registration import PENDULUM_KEYPOINTS_ID
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.options import check_counts


def sample_pendulum_transitions(
    transitions: int, generator: np.random.Generator | None = None, parameters: PendulumParameters | None = None
) -> Transitions:
    """Draw single steps in keypoints, angle, rate and torque independent and uniform (Suh et al. 2023).

    theta and theta_dot lie within ±6 [rad], [rad/s]; next states may leave that box. Every step is an episode.

    Args:
        transitions: number of transitions K, at least 1.
        generator: source of all random numbers, by default seeded with 0.
        parameters: the plant; default as in the environment.

    Raises:
        OptionError: a number below 1.
    """
    check_counts("sample_pendulum_transitions", transitions=transitions)
    generator = numpy_generator(generator)
    plant = parameters or PendulumParameters()
    limit = plant.torque_limit
    angles = generator.uniform(STATE_BOX_LOW, STATE_BOX_HIGH, (transitions, 2))
    controls = generator.uniform(-limit, limit, (transitions, 1))
    arrays: dict[str, AnyArray] = {
        "states": keypoints(angles, plant, np),
        "controls": controls,
        "next_states": keypoints(pendulum_step(angles, controls, plant, np), plant, np),
        "episodes": np.arange(transitions, dtype=np.int64),
        "terminated": np.zeros(transitions, dtype=np.bool_),
    }
    bounds = ([-np.inf] * 3, [np.inf] * 3), ([-limit], [limit])
    info = describe_dataset(
        "pendulum-sampled", arrays, *bounds, environment=PENDULUM_KEYPOINTS_ID, time_step=plant.time_step
    )
    return Transitions(**arrays, dataset=info)
