"""Episodes as whole arrays: recorded step by step, collected by a behaviour, thinned out of a long log."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from minari.data_collector import EpisodeBuffer

from benchmarks.d4rl.behaviour import Behaviour
from trajopt_sgp.arrays import AnyArray, FloatArray


class EpisodeRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that keeps every episode that ends in it.

    Args:
        environment: what is recorded; it may be reset before an episode ends, which is then dropped.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        super().__init__(environment)
        self.episodes: list[EpisodeBuffer] = []
        self.transitions = 0
        self._observations: list[FloatArray] = []
        self._steps: list[tuple[FloatArray, float, bool, bool]] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._observations, self._steps = [np.array(observation)], []
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step, and keep the step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._observations.append(np.array(observation))
        self._steps.append((np.array(action, dtype=np.float64), float(reward), terminated, truncated))
        self.transitions += 1
        if terminated or truncated:
            self.cut()
        return observation, float(reward), terminated, truncated, info

    def cut(self) -> None:
        """Keep the steps since the last reset as an episode, cut off here unless it has ended."""
        if self._steps:
            self.episodes.append(_episode(self._observations, *zip(*self._steps, strict=True)))
        self._observations, self._steps = self._observations[-1:], []


def collect_episodes(
    environment: gymnasium.Env[Any, Any], behaviour: Behaviour, transitions: int, seed: int
) -> list[EpisodeBuffer]:
    """Return episodes of a behaviour, exactly `transitions` steps in all; the last is cut to that number."""
    recorder, rng = EpisodeRecorder(environment), np.random.default_rng(seed)
    observation, _ = recorder.reset(seed=seed)
    while recorder.transitions < transitions:
        observation, _, terminated, truncated, _ = recorder.step(behaviour(observation, rng))
        if terminated or truncated:
            observation, _ = recorder.reset()
    recorder.cut()
    return recorder.episodes


def thin(episodes: Sequence[EpisodeBuffer], transitions: int) -> list[EpisodeBuffer]:
    """Return whole episodes evenly spread over a log, in order, about `transitions` steps or all there are."""
    ends = np.cumsum([len(episode) for episode in episodes])
    share = min(1.0, transitions / ends[-1])
    kept: list[EpisodeBuffer] = []
    count = 0
    for episode, end in zip(episodes, ends.tolist(), strict=True):
        # the running sum stays as close to its share as whole episodes allow
        if abs(count + len(episode) - share * end) < abs(count - share * end):
            kept.append(episode)
            count += len(episode)
    return kept


def episode_returns(episodes: Sequence[EpisodeBuffer], longest: int = 1000) -> FloatArray:
    """Return the sums of rewards of the episodes that ended by themselves or after `longest` steps."""
    whole = [e for e in episodes if bool(e.terminations[-1]) or len(e) >= longest]
    return np.array([np.sum(episode.rewards) for episode in whole])


def to_arrays(episodes: Sequence[EpisodeBuffer]) -> dict[str, AnyArray]:
    """Return episodes as flat arrays, for a file."""
    lengths = np.array([len(episode) for episode in episodes])
    fields = ("observations", "actions", "rewards", "terminations", "truncations")
    flat = {name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in fields}
    return {"lengths": lengths, **flat}


def from_arrays(arrays: dict[str, AnyArray]) -> list[EpisodeBuffer]:
    """Return the episodes of `to_arrays`."""
    lengths = arrays["lengths"]
    cuts, observation_cuts = np.cumsum(lengths)[:-1], np.cumsum(lengths + 1)[:-1]
    fields = ("actions", "rewards", "terminations", "truncations")
    parts = {name: np.split(arrays[name], cuts) for name in fields}
    parts["observations"] = np.split(arrays["observations"], observation_cuts)
    return [EpisodeBuffer(**{name: part[i] for name, part in parts.items()}) for i in range(len(lengths))]


def _episode(
    observations: Sequence[FloatArray],
    actions: Sequence[FloatArray],
    rewards: Sequence[float],
    terminations: Sequence[bool],
    truncations: Sequence[bool],
) -> EpisodeBuffer:
    ends = np.array(truncations)
    ends[-1] = not terminations[-1]
    return EpisodeBuffer(
        observations=np.array(observations),
        actions=np.array(actions),
        rewards=np.array(rewards),
        terminations=np.array(terminations),
        truncations=ends,
    )
