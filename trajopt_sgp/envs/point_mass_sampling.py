"""Data of the planar worlds by their recipes, and of a circle, which has no controls."""

import numpy as np

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.points import points_as_transitions
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.envs.planar_worlds import PlanarWorld
from trajopt_sgp.errors import OptionError
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.options import check_counts


def sample_point_mass_transitions(
    world: PlanarWorld, draws: int, generator: np.random.Generator | None = None
) -> Transitions:
    """Draw single steps of a point mass from random states under random controls and keep those that are data.

    Controls are uniform within their limits. Of the corridor 75.1 % of the draws are kept, of light-dark 87.4 %; each
    is an episode of its own.

    Args:
        world: gives states, dynamics and what is kept.
        draws: number of steps drawn, at least 1.
        generator: source of all random numbers, by default seeded with 0.

    Raises:
        OptionError: `draws` is below 1, or nothing is kept.
    """
    check_counts("sample_point_mass_transitions", draws=draws)
    generator = numpy_generator(generator)
    states = world.region.propose(draws, generator)
    controls = generator.uniform(-world.control_limit, world.control_limit, (draws, 2))
    next_states = world.step(states, controls)
    kept = world.keeps(states, next_states)
    if not kept.any():
        raise OptionError(f"None of {draws} draws is data of {world.name}: draw more.")
    arrays: dict[str, AnyArray] = {
        "states": states[kept],
        "controls": controls[kept],
        "next_states": next_states[kept],
        "episodes": np.arange(kept.sum()),
        "terminated": np.zeros(kept.sum(), dtype=np.bool_),
    }
    limit = world.control_limit
    bounds = ([-np.inf] * 2, [np.inf] * 2), ([-limit] * 2, [limit] * 2)
    info = describe_dataset(f"{world.name}-sampled", arrays, *bounds, world.environment)
    return Transitions(**arrays, dataset=info)


def sample_circle(points: int, generator: np.random.Generator | None = None, radius: float = 3.0) -> Transitions:
    """Draw points uniformly on a circle around the origin, as transitions of a system that rests and has no controls.

    Models trained on them take controls `(..., 0)`: z is the normalised point alone.

    Args:
        points: number of points, at least 1.
        generator: source of all random numbers, by default seeded with 0.
        radius: of the circle.

    Raises:
        OptionError: `points` is below 1.
    """
    check_counts("sample_circle", points=points)
    generator = numpy_generator(generator)
    angles = generator.uniform(0.0, 2.0 * np.pi, points)
    return points_as_transitions(radius * np.column_stack([np.cos(angles), np.sin(angles)]), "circle-sampled")
