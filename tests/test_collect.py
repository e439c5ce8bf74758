"""Random collection in the real environment, and the vectorised process that must be the same."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from scipy import stats

from trajopt_sgp.data import Transitions, collect_random_transitions
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, CartPoleDynamics, CartPoleSwingUpEnv, sample_cartpole_transitions
from trajopt_sgp.errors import IncompatibleError, OptionError

LOW, HIGH = CartPoleSwingUpEnv().data_box.low, CartPoleSwingUpEnv().data_box.high


@pytest.fixture(scope="module")
def cartpole() -> gymnasium.Env[Any, Any]:
    return gymnasium.make(CARTPOLE_SWING_UP_ID)


@pytest.fixture(scope="module")
def collected(cartpole: gymnasium.Env[Any, Any]) -> list[EpisodeBuffer]:
    return collect_random_transitions(cartpole, 20_000, seed=11)


@pytest.fixture(scope="module")
def sampled() -> Transitions:
    return sample_cartpole_transitions(20_000, np.random.default_rng(12))


class Line(gymnasium.Env[Any, Any]):
    """A point that moves by its action in a narrow box, and terminates at the right end of it."""

    def __init__(self, box: spaces.Space[Any] | None, actions: spaces.Space[Any]) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = actions
        if box is not None:
            self.data_box = box
        self.position = np.zeros(1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.position = np.array((options or {}).get("state", np.zeros(1)))
        return self.position.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = self.position + action
        return self.position.copy(), 0.0, bool(self.position[0] > 0.9), False, {}


def test_exact_number_in_episodes_of_at_most_ten_steps(collected: list[EpisodeBuffer]) -> None:
    lengths = [len(buffer) for buffer in collected]
    assert sum(lengths) == 20_000
    assert min(lengths) >= 1
    assert max(lengths) == 10
    for buffer in collected:
        assert np.shape(buffer.observations) == (len(buffer) + 1, 4)
        assert np.shape(buffer.actions) == (len(buffer), 1)
        assert np.array_equal(buffer.truncations, np.arange(len(buffer)) == len(buffer) - 1)
        assert not np.any(buffer.terminations)


def test_no_state_outside_the_box(collected: list[EpisodeBuffer], sampled: Transitions) -> None:
    states = np.concatenate([np.asarray(buffer.observations) for buffer in collected])
    for values in (states, sampled.states, sampled.next_states):
        assert ((values >= LOW) & (values <= HIGH)).all()


def test_collected_steps_are_steps_of_the_plant(collected: list[EpisodeBuffer]) -> None:
    model = CartPoleDynamics()
    for buffer in collected[:50]:
        states, controls = torch.tensor(buffer.observations), torch.tensor(buffer.actions)
        torch.testing.assert_close(model(states[:-1], controls), states[1:], rtol=0.0, atol=1e-12)


def test_same_seed_same_episodes(cartpole: gymnasium.Env[Any, Any]) -> None:
    first, second, other = (collect_random_transitions(cartpole, 300, seed) for seed in (5, 5, 6))
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(np.asarray(a.observations), np.asarray(b.observations))
        assert np.array_equal(np.asarray(a.actions), np.asarray(b.actions))
    assert not np.array_equal(np.asarray(first[0].observations), np.asarray(other[0].observations))


def test_progress_is_told(cartpole: gymnasium.Env[Any, Any]) -> None:
    seen: list[int] = []
    buffers = collect_random_transitions(cartpole, 57, seed=0, progress=seen.append)
    assert seen == np.cumsum([len(buffer) for buffer in buffers]).tolist()


def test_terminated_and_truncated_are_told_apart() -> None:
    line = Line(spaces.Box(-1.0, 1.0, (1,), np.float64), spaces.Box(-0.3, 0.3, (1,), np.float64))
    buffers = collect_random_transitions(line, 500, seed=0)
    ends = np.array([float(np.asarray(buffer.observations)[-1, 0]) for buffer in buffers])
    terminated = np.array([bool(np.asarray(buffer.terminations)[-1]) for buffer in buffers])
    truncated = np.array([bool(np.asarray(buffer.truncations)[-1]) for buffer in buffers])
    assert np.array_equal(terminated, ends > 0.9)
    assert 0 < terminated.sum() < len(buffers)
    assert np.array_equal(truncated, ~terminated)


def test_samples_are_steps_of_the_plant_and_chain_within_episodes(sampled: Transitions) -> None:
    states, controls = torch.tensor(sampled.states), torch.tensor(sampled.controls)
    predicted = CartPoleDynamics()(states, controls).numpy()
    np.testing.assert_allclose(predicted, sampled.next_states, rtol=0.0, atol=1e-12)
    same = sampled.episodes[1:] == sampled.episodes[:-1]
    assert np.array_equal(sampled.states[1:][same], sampled.next_states[:-1][same])
    assert not (sampled.states[1:][~same] == sampled.next_states[:-1][~same]).any()
    lengths = np.bincount(sampled.episodes)
    assert (lengths.min(), lengths.max()) == (1, 10)


def episode_lengths_and_steps(transitions: Transitions) -> tuple[Any, dict[int, Any]]:
    """Episode lengths, and [x, u, x'] of the first, fourth and eighth steps: independent between episodes."""
    steps = np.arange(len(transitions)) - np.searchsorted(transitions.episodes, transitions.episodes)
    rows = np.hstack([transitions.states, transitions.controls, transitions.next_states])
    return np.bincount(transitions.episodes), {step: rows[steps == step] for step in (0, 3, 7)}


def test_sampler_and_collector_are_one_process(collected: list[EpisodeBuffer], sampled: Transitions) -> None:
    observations = [np.asarray(buffer.observations) for buffer in collected]
    lengths = np.array([len(buffer) for buffer in collected])
    real = Transitions(
        states=np.concatenate([values[:-1] for values in observations]),
        controls=np.concatenate([np.asarray(buffer.actions) for buffer in collected]),
        next_states=np.concatenate([values[1:] for values in observations]),
        episodes=np.repeat(np.arange(len(lengths)), lengths),
        terminated=np.zeros(lengths.sum(), dtype=bool),
        dataset=sampled.dataset,
    )
    (real_lengths, real_steps), (fast_lengths, fast_steps) = map(episode_lengths_and_steps, (real, sampled))
    table = np.stack([np.bincount(lengths, minlength=11)[1:] for lengths in (real_lengths, fast_lengths)])
    assert stats.chi2_contingency(table).pvalue > 0.01
    for step, rows in real_steps.items():
        pvalues = [stats.ks_2samp(a, b).pvalue for a, b in zip(rows.T, fast_steps[step].T, strict=True)]
        assert min(pvalues) > 0.01 / len(pvalues)


def test_sampler_is_exact_and_seeded() -> None:
    first, second, other = (sample_cartpole_transitions(777, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert len(first) == first.dataset.transitions == 777
    assert first.dataset.hash == second.dataset.hash != other.dataset.hash
    zero, unsaid = sample_cartpole_transitions(9, np.random.default_rng(0)), sample_cartpole_transitions(9)
    assert unsaid.dataset.hash == zero.dataset.hash
    assert np.array_equal(np.unique(first.episodes), np.arange(first.dataset.episodes))


@pytest.mark.parametrize(("transitions", "steps"), [(0, 10), (-5, 10), (10, 0)])
def test_numbers_below_one_are_refused(cartpole: gymnasium.Env[Any, Any], transitions: int, steps: int) -> None:
    with pytest.raises(OptionError, match="it must be a whole number, at least 1"):
        collect_random_transitions(cartpole, transitions, seed=0, episode_steps=steps)
    with pytest.raises(OptionError, match="it must be a whole number, at least 1"):
        sample_cartpole_transitions(transitions, np.random.default_rng(0), episode_steps=steps)


@pytest.mark.parametrize(
    ("box", "actions", "words"),
    [
        (None, spaces.Box(-1.0, 1.0, (1,)), "data_box.*Recording, transitions_from_recordings and write_transitions"),
        (spaces.Box(-np.inf, np.inf, (1,)), spaces.Box(-1.0, 1.0, (1,)), "data_box"),
        (spaces.Box(-1.0, 1.0, (2,)), spaces.Box(-1.0, 1.0, (1,)), "data_box"),
        (spaces.Box(-1.0, 1.0, (1,)), spaces.Discrete(2), "bounded Box of actions, not Discrete"),
        (spaces.Box(-1.0, 1.0, (1,)), spaces.Box(-np.inf, np.inf, (1,)), "bounded Box of actions"),
        (spaces.Box(-1e-9, 1e-9, (1,), np.float64), spaces.Box(1.0, 2.0, (1,)), "left the data box"),
    ],
)
def test_unfit_environment_is_refused(box: spaces.Space[Any] | None, actions: spaces.Space[Any], words: str) -> None:
    with pytest.raises(IncompatibleError, match=words):
        collect_random_transitions(Line(box, actions), 5, seed=0)
