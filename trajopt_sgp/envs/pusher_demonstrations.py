"""Demonstrations of pushing, as a person at a joystick would give them, recorded from the environment."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from minari.data_collector import EpisodeBuffer

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data.episode_buffers import gather_episodes, make_episode
from trajopt_sgp.envs.planar_pusher import PlanarPusherEnv
from trajopt_sgp.envs.pusher_guidance import PushGuide
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.options import check_counts

_PAUSE, _MISJUDGED, _TREMOR = 0.12, 0.25, 0.004
_HELD = (4, 10)
_REACHED = 0.012


def collect_pusher_demonstrations(
    environment: gymnasium.Env[Any, Any],
    transitions: int,
    seed: int = 0,
    episode_steps: int = 50,
    progress: Callable[[int], object] | None = None,
) -> list[EpisodeBuffer]:
    """Push boxes towards goals until there are exactly `transitions` transitions.

    Every episode approaches the box, pushes for some steps, takes another contact, and so on, until the box is at its
    goal or the time is over. Contacts are the useful ones, or by misjudgement any; hands tremble and are not always
    fast; now and then there is a pause. Episodes stop where box or pusher would leave the workspace.

    Args:
        environment: `PlanarPusherEnv` or one made of it, wrapped or not.
        transitions: number of transitions K, at least 1.
        seed: of the generator and of the environment; same seed, same episodes.
        episode_steps: largest number of steps of an episode, at least 1.
        progress: called after each episode with the number of transitions so far.

    Raises:
        OptionError: a number below 1.
        IncompatibleError: another environment.
    """
    check_counts("collect_pusher_demonstrations", transitions=transitions, episode_steps=episode_steps)
    plant = environment.unwrapped
    if not isinstance(plant, PlanarPusherEnv):
        raise IncompatibleError(f"Demonstrations of pushing need a PlanarPusherEnv, not {plant}.")
    generator = np.random.default_rng(seed)
    plant.reset(seed=seed)
    draw = lambda needed: _episode(plant, min(episode_steps, needed), generator)  # noqa: E731
    return gather_episodes(transitions, draw, progress)


def _episode(plant: PlanarPusherEnv, steps: int, generator: np.random.Generator) -> EpisodeBuffer:
    observation, info = plant.reset()
    guide = PushGuide(plant.keypoints(info["goal"]), plant.nominal)
    observations = [observation]
    actions: list[FloatArray] = []
    rewards: list[float] = []
    intended: list[FloatArray] = []
    while len(actions) < steps and info["error"] > _REACHED:
        intended = intended or _intention(guide, observation, generator)
        action = intended.pop(0)
        moves = bool(np.any(action))
        action = action + moves * generator.normal(0.0, _TREMOR, 2)
        observation, reward, _, _, info = plant.step(action)
        if not _inside(plant, observation):
            break
        observations.append(observation)
        actions.append(info["step"])
        rewards.append(reward)
    return make_episode(np.array(observations), np.array(actions).reshape(len(actions), 2), np.array(rewards))


def _intention(guide: PushGuide, observation: FloatArray, generator: np.random.Generator) -> list[FloatArray]:
    """Return the next displacements: a pause, or the way to a contact and a push."""
    if generator.uniform() < _PAUSE:
        return [np.zeros(2)] * int(generator.integers(1, 4))
    steps = int(generator.integers(*_HELD))
    prices = guide.contact_prices(observation)
    contact = int(generator.integers(len(prices))) if generator.uniform() < _MISJUDGED else int(np.argmin(prices))
    speed = float(generator.uniform(0.4, 1.0))
    push = guide.push(observation, contact, steps, lean=float(generator.uniform(-0.3, 0.8)), speed=speed)
    moving = [step for step in push if np.any(step)]
    return moving or [np.zeros(2)]


def _inside(plant: PlanarPusherEnv, observation: FloatArray) -> bool:
    return bool(((observation > plant.data_box.low) & (observation < plant.data_box.high)).all())
