"""Collecting transitions by random actions in a real Gymnasium environment."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data.episode_buffers import gather_episodes, make_episode
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.options import check_counts

Filter = Callable[[FloatArray, FloatArray], bool]
"""State and next state to whether the step between them is data."""

_EPISODES_TRIED = 1001


def collect_random_transitions(
    environment: gymnasium.Env[Any, Any],
    transitions: int,
    seed: int = 0,
    episode_steps: int = 10,
    progress: Callable[[int], object] | None = None,
) -> list[EpisodeBuffer]:
    """Step an environment under random actions until there are exactly `transitions` transitions.

    Each episode starts uniformly in the data box, through `reset(options={"state": ...})`, and applies independent
    actions, uniform in the action space, for at most `episode_steps` steps. It ends where the state leaves the box: the
    step that leaves is dropped, and an episode left without steps is drawn again. So state and next state of every
    transition lie in the box. The last episode is cut to the number asked for.

    An environment whose data fill no box says by a method `keeps_transition(state, next_state) -> bool` which steps are
    data; the box is then where episodes start.

    Args:
        environment: has an attribute `data_box` (a Box of states, on the unwrapped environment), accepts the reset
            option `state`, observes its state, and has a bounded Box of actions.
        transitions: number of transitions K, at least 1.
        seed: of the generator of states and actions, and of the environment; same seed, same episodes.
        episode_steps: largest number of steps of an episode, at least 1.
        progress: called after each episode with the number of transitions so far.

    Returns:
        Episodes with float64 arrays: observations `(T + 1, n)`, actions `(T, m)`, rewards `(T,)`, terminations `(T,)`,
        and truncations `(T,)`, set in the last step of every episode that the environment did not terminate.

    Raises:
        OptionError: a number below 1.
        IncompatibleError: the environment lacks a data box or a bounded action space, or no step stays in the box.
    """
    check_counts("collect_random_transitions", transitions=transitions, episode_steps=episode_steps)
    box, actions = _data_box(environment), _action_box(environment)
    keeps = _data_filter(environment, box)
    generator = np.random.default_rng(seed)
    environment.reset(seed=seed)

    def draw(needed: int) -> EpisodeBuffer:
        for _ in range(_EPISODES_TRIED):
            start = generator.uniform(box.low, box.high)
            buffer = _episode(environment, start, keeps, actions, min(episode_steps, needed), generator)
            if len(buffer):
                return buffer
        raise IncompatibleError(
            f"{_EPISODES_TRIED} episodes in a row left the data box at their first step: the box [{box.low}, "
            f"{box.high}] is too small for this environment, or reset does not honour the option 'state'."
        )

    return gather_episodes(transitions, draw, progress)


def _episode(
    environment: gymnasium.Env[Any, Any],
    start: FloatArray,
    keeps: Filter,
    actions: spaces.Box,
    steps: int,
    generator: np.random.Generator,
) -> EpisodeBuffer:
    observation, _ = environment.reset(options={"state": start})
    observations, controls = [observation], []
    rewards: list[float] = []
    terminated = False
    while len(rewards) < steps and not terminated:
        control = generator.uniform(actions.low, actions.high)
        observation, reward, terminated, truncated, _ = environment.step(control)
        if not keeps(observations[-1], observation):
            terminated = False
            break
        observations.append(observation)
        controls.append(control)
        rewards.append(float(reward))
        if truncated:
            break
    taken = np.array(controls, dtype=np.float64).reshape(len(rewards), *actions.shape)
    return make_episode(np.array(observations, dtype=np.float64), taken, np.array(rewards), bool(terminated))


def _data_filter(environment: gymnasium.Env[Any, Any], box: spaces.Box) -> Filter:
    """Return what says whether a step belongs to the data: the environment itself, or that it ends in the box."""
    own: Filter | None = getattr(environment.unwrapped, "keeps_transition", None)
    return own or (lambda state, after: bool(((after >= box.low) & (after <= box.high)).all()))


def _data_box(environment: gymnasium.Env[Any, Any]) -> spaces.Box:
    box = getattr(environment.unwrapped, "data_box", None)
    if not isinstance(box, spaces.Box) or box.shape != environment.observation_space.shape or not box.is_bounded():
        raise IncompatibleError(
            f"{environment.unwrapped} needs an attribute `data_box`: a bounded gymnasium.spaces.Box of states in the "
            f"shape of its observations, {environment.observation_space.shape}. Of any other environment record "
            "runs of your own: Recording, transitions_from_recordings and write_transitions make a dataset of them."
        )
    return box


def _action_box(environment: gymnasium.Env[Any, Any]) -> spaces.Box:
    space = environment.action_space
    if not isinstance(space, spaces.Box) or not space.is_bounded():
        raise IncompatibleError(f"Random actions need a bounded Box of actions, not {space}.")
    return space
