"""Behaviour policies learned from nothing, every transition logged on the way until the level "medium" is reached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from minari.data_collector import EpisodeBuffer

from benchmarks.d4rl.behaviour import StoredPolicy
from benchmarks.d4rl.episodes import EpisodeRecorder
from trajopt_sgp.arrays import FloatArray

_EPISODES = 20
_CLIP = 10.0


@dataclass(frozen=True)
class Goal:
    """When learning ends."""

    mean_return: float
    """Of the last 20 episodes of the log, exploration included."""
    transitions: int
    """At most so many, reached or not."""

    def reached(self, recorder: EpisodeRecorder) -> bool:
        """Return whether learning has gone on long enough."""
        recent = [float(np.sum(episode.rewards)) for episode in recorder.episodes[-_EPISODES:]]
        good = len(recent) == _EPISODES and float(np.mean(recent)) >= self.mean_return
        return good or recorder.transitions >= self.transitions


@dataclass(frozen=True)
class Learned:
    """What learning leaves."""

    policy: StoredPolicy
    """As it was when the goal was reached."""
    log: list[EpisodeBuffer]
    """Every episode that ended until then."""


Learner = Callable[[gymnasium.Env[Any, Any], Goal, int], Learned]
"""Environment, goal and seed to a policy and its log."""


def learn_by_ppo(environment: gymnasium.Env[Any, Any], goal: Goal, seed: int) -> Learned:
    """Learn by proximal policy optimisation (Schulman et al. 2017), by Stable-Baselines3 with its defaults.

    Observations and rewards are normalised by their running statistics. Needs the extra `d4rl`.
    """
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return not goal.reached(recorder)

    recorder = EpisodeRecorder(environment)
    normalized = VecNormalize(DummyVecEnv([lambda: recorder]))
    agent = PPO("MlpPolicy", normalized, seed=seed, device="cpu")
    agent.learn(goal.transitions, callback=Stop())
    names = {
        "W0": "mlp_extractor.policy_net.0.weight",
        "b0": "mlp_extractor.policy_net.0.bias",
        "W1": "mlp_extractor.policy_net.2.weight",
        "b1": "mlp_extractor.policy_net.2.bias",
        "Wmu": "action_net.weight",
        "bmu": "action_net.bias",
        "log_std": "log_std",
    }
    state = agent.policy.state_dict()
    arrays = {name: state[key].numpy().astype(np.float64) for name, key in names.items()}
    statistics: Any = normalized.obs_rms
    arrays |= {"obs_mean": statistics.mean, "obs_std": np.sqrt(statistics.var + normalized.epsilon)}
    meta = {"source": "PPO", "act": "tanh", "squash": "clip", "obs_clip": _CLIP}
    return Learned(StoredPolicy(arrays, meta), recorder.episodes)


@dataclass(frozen=True)
class RandomSearch:
    """Augmented random search over linear policies (Mania et al. 2018, version V2-t), with noisy actions."""

    directions: int = 8
    """Directions tried, each both ways, before a step."""
    best: int = 4
    """Directions that make up a step."""
    step_size: float = 0.02
    """alpha."""
    perturbation: float = 0.03
    """nu."""
    action_noise: float = 0.2
    """Standard deviation: without it data would hold one action for every state."""

    def __call__(self, environment: gymnasium.Env[Any, Any], goal: Goal, seed: int) -> Learned:
        """Learn until the goal is reached."""
        recorder, rng = EpisodeRecorder(environment), np.random.default_rng(seed)
        inputs, outputs = environment.observation_space.shape, environment.action_space.shape
        weights, statistics = np.zeros((*(outputs or ()), *(inputs or ()))), _Statistics(inputs or ())
        recorder.reset(seed=seed)
        while not goal.reached(recorder):
            offsets = rng.standard_normal((self.directions, *weights.shape))
            returns = np.array(
                [
                    [self._episode(recorder, self._policy(weights + sign * offset, statistics), statistics, rng)
                     for sign in (self.perturbation, -self.perturbation)]
                    for offset in offsets
                ]
            )  # fmt: skip
            chosen = np.argsort(-returns.max(axis=1))[: self.best]
            slopes = returns[chosen, 0] - returns[chosen, 1]
            scale = self.step_size / (self.best * max(float(returns[chosen].std()), 1e-6))
            weights = weights + scale * np.tensordot(slopes, offsets[chosen], axes=1)
            statistics.update()
        return Learned(self._policy(weights, statistics), recorder.episodes)

    def _policy(self, weights: FloatArray, statistics: "_Statistics") -> StoredPolicy:
        size = len(weights)
        arrays = {"Wmu": weights, "bmu": np.zeros(size), "log_std": np.full(size, np.log(self.action_noise))}
        arrays |= {"obs_mean": statistics.mean, "obs_std": statistics.spread}
        return StoredPolicy(arrays, {"source": "ARS", "squash": "clip"})

    @staticmethod
    def _episode(
        recorder: EpisodeRecorder, policy: StoredPolicy, statistics: "_Statistics", rng: np.random.Generator
    ) -> float:
        observation, _ = recorder.reset()
        ended = False
        while not ended:
            observation, _, terminated, truncated, _ = recorder.step(policy(observation, rng))
            ended = terminated or truncated
        episode = recorder.episodes[-1]
        statistics.add(np.asarray(episode.observations[1:]))
        return float(np.sum(episode.rewards))


class _Statistics:
    """Mean and spread of observations, renewed between steps of a search so that its rollouts compare."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean, self.spread = np.zeros(shape), np.ones(shape)
        self._count, self._sum, self._squares = 0, np.zeros(shape), np.zeros(shape)

    def add(self, observations: FloatArray) -> None:
        self._count += len(observations)
        self._sum += observations.sum(axis=0)
        self._squares += np.square(observations).sum(axis=0)

    def update(self) -> None:
        self.mean = self._sum / self._count
        variance = self._squares / self._count - np.square(self.mean)
        self.spread = np.sqrt(np.maximum(variance, 1e-8))
