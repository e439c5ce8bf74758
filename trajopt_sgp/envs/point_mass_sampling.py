"""Data of the planar worlds by their recipes, and of a circle, which has no controls."""

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.data.dataset_info import Bounds, describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.envs.planar_worlds import PlanarWorld
from trajopt_sgp.errors import OptionError

FloatArray = NDArray[np.float64]


def sample_point_mass_transitions(world: PlanarWorld, draws: int, generator: np.random.Generator) -> Transitions:
    """Draw single steps of a point mass from random states under random controls and keep those that are data.

    Controls are uniform within their limits. Of the corridor 75.1 % of the draws are kept, of light-dark 87.4 %; each
    is an episode of its own.

    Args:
        world: gives states, dynamics and what is kept.
        draws: number of steps drawn, at least 1.
        generator: source of all random numbers.

    Raises:
        OptionError: `draws` is below 1, or nothing is kept.
    """
    _check_draws(draws)
    states = world.region.propose(draws, generator)
    controls = generator.uniform(-world.control_limit, world.control_limit, (draws, 2))
    next_states = world.step(states, controls)
    kept = world.keeps(states, next_states)
    if not kept.any():
        raise OptionError(f"None of {draws} draws is data of {world.name}: draw more.")
    limits = ([-world.control_limit] * 2, [world.control_limit] * 2)
    arrays = states[kept], controls[kept], next_states[kept]
    return _transitions(f"{world.name}-sampled", *arrays, limits, world.environment)


def sample_circle(draws: int, generator: np.random.Generator, radius: float = 3.0) -> Transitions:
    """Draw points uniformly on a circle around the origin, as transitions of a system that rests and has no controls.

    Models trained on them take controls `(..., 0)`: z is the normalised point alone.

    Args:
        draws: number of points, at least 1.
        generator: source of all random numbers.
        radius: of the circle.

    Raises:
        OptionError: `draws` is below 1.
    """
    _check_draws(draws)
    angles = generator.uniform(0.0, 2.0 * np.pi, draws)
    points = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    return _transitions("circle-sampled", points, np.empty((draws, 0)), points, ([], []), None)


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise OptionError(f"draws = {draws}: it must be at least 1.")


def _transitions(
    name: str,
    states: FloatArray,
    controls: FloatArray,
    next_states: FloatArray,
    control_bounds: Bounds,
    environment: str | None,
) -> Transitions:
    arrays = {
        "states": states,
        "controls": controls,
        "next_states": next_states,
        "episodes": np.arange(len(states)),
        "terminated": np.zeros(len(states), dtype=np.bool_),
    }
    info = describe_dataset(name, arrays, ([-np.inf] * 2, [np.inf] * 2), control_bounds, environment)
    return Transitions(**arrays, dataset=info)
