"""Data of the pixel integrator: single random steps, or episodes to be written as a Minari dataset."""

from collections.abc import Callable

import numpy as np
from minari.data_collector import EpisodeBuffer

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data.episode_buffers import gather_episodes, make_episode
from trajopt_sgp.data.image_transitions import Bytes, ImageTransitions, make_image_transitions, to_bytes
from trajopt_sgp.envs.disc_images import Images
from trajopt_sgp.envs.pixel_integrator import GOAL
from trajopt_sgp.envs.pixel_world import PixelWorld
from trajopt_sgp.envs.registration import PIXEL_INTEGRATOR_ID
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.options import check_counts

_CHUNK = 4096


def sample_pixel_transitions(
    world: PixelWorld, transitions: int, generator: np.random.Generator | None = None
) -> ImageTransitions:
    """Draw single steps from places uniform in the region of the data, controls uniform within their limits.

    Next states may lie in the hole or beyond the square. Each transition is an episode of its own.

    Args:
        world: what is seen and how.
        transitions: number of transitions, at least 1; each takes 3 r² bytes.
        generator: source of all random numbers, by default seeded with 0.

    Raises:
        OptionError: `transitions` is below 1.
    """
    check_counts("sample_pixel_transitions", transitions=transitions)
    generator = numpy_generator(generator)
    starts = draw_positions(world, transitions, generator)
    steps = generator.uniform(-world.control_limit, world.control_limit, (transitions, world.dimension))
    return make_image_transitions(
        _in_bytes(world.state_picture, starts),
        _in_bytes(world.control_picture, steps),
        _in_bytes(world.state_picture, starts + steps),
        np.arange(transitions),
        "pixels-sampled",
        PIXEL_INTEGRATOR_ID,
    )


def collect_pixel_episodes(
    world: PixelWorld, transitions: int, seed: int = 0, episode_steps: int = 20
) -> list[EpisodeBuffer]:
    """Return episodes of random steps, for `write_minari_dataset`, with exactly `transitions` transitions.

    Each starts uniformly in the region and ends after so many steps, or with the step that leaves the region. The same
    seed gives the same episodes.

    Raises:
        OptionError: a number below 1.
    """
    check_counts("collect_pixel_episodes", transitions=transitions, episode_steps=episode_steps)
    generator = np.random.default_rng(seed)
    return gather_episodes(transitions, lambda needed: _episode(world, min(episode_steps, needed), generator))


def draw_positions(world: PixelWorld, count: int, generator: np.random.Generator | None = None) -> FloatArray:
    """Draw positions `(count, dimension)` uniform in the region of the data, by default with seed 0.

    Raises:
        OptionError: `count` is below 1.
    """
    check_counts("draw_positions", count=count)
    generator = numpy_generator(generator)
    kept: list[FloatArray] = []
    while sum(map(len, kept)) < count:
        points = generator.uniform(-world.half_side, world.half_side, (2 * count + 64, world.dimension))
        kept.append(points[world.contains(points)])
    return np.concatenate(kept)[:count]


def _episode(world: PixelWorld, steps: int, generator: np.random.Generator) -> EpisodeBuffer:
    moves = generator.uniform(-world.control_limit, world.control_limit, (steps, world.dimension))
    path = draw_positions(world, 1, generator) + np.concatenate([np.zeros((1, world.dimension)), moves.cumsum(axis=0)])
    inside = world.contains(path)
    length = steps if inside.all() else max(1, int(np.argmin(inside)))
    rewards = -np.square(path[1 : length + 1] - GOAL[: world.dimension]).sum(axis=1)
    return make_episode(world.state_picture(path[: length + 1]), world.control_picture(moves[:length]), rewards)


def _in_bytes(render: Callable[[FloatArray], Images], places: FloatArray) -> Bytes:
    chunks = [to_bytes(render(places[k : k + _CHUNK])) for k in range(0, len(places), _CHUNK)]
    return np.concatenate(chunks)
