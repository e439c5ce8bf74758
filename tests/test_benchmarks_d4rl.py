"""Making D4RL-like data: policies, episodes, and the command from nothing, all of it tiny."""

import json
from pathlib import Path

import minari
import numpy as np
import pytest
import torch
from minari.data_collector import EpisodeBuffer

from benchmarks.d4rl import recipes
from benchmarks.d4rl.behaviour import StoredPolicy, Uniform, load_policy_file, save_policy_file
from benchmarks.d4rl.collect import main
from benchmarks.d4rl.episodes import collect_episodes, episode_returns, from_arrays, thin, to_arrays
from benchmarks.d4rl.learn import Goal, RandomSearch, learn_by_ppo
from benchmarks.d4rl.transcription import Stage
from benchmarks.d4rl.true_dynamics import TrueStep
from trajopt_sgp.data import load_transitions
from trajopt_sgp.errors import ModelFileError
from trajopt_sgp.studies.d4rl.environments import make_environment
from trajopt_sgp.studies.d4rl.play import play


def network(outputs: int, inputs: int, rng: np.random.Generator) -> StoredPolicy:
    shapes = {"W0": (8, inputs), "b0": (8,), "W1": (8, 8), "b1": (8,), "Wmu": (outputs, 8), "bmu": (outputs,)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return StoredPolicy(arrays | {"log_std": np.full(outputs, -1.0)}, {"act": "tanh", "squash": "clip"})


def test_a_stored_policy_is_what_it_says_and_survives_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    policy = network(2, 3, rng)
    save_policy_file(policy, tmp_path / "policy.npz")
    again = load_policy_file(tmp_path / "policy.npz")
    x = rng.normal(size=3)
    a = policy.arrays
    mean = a["Wmu"] @ np.tanh(a["W1"] @ np.tanh(a["W0"] @ x + a["b0"]) + a["b1"]) + a["bmu"]
    noise = np.exp(-1.0) * np.random.default_rng(1).standard_normal(2)
    assert again(x, np.random.default_rng(1)) == pytest.approx(np.clip(mean + noise, -1.0, 1.0))
    with pytest.raises(ModelFileError, match="no stored policy"):
        load_policy_file(tmp_path / "other.npz")


def test_collected_episodes_are_those_of_the_environment() -> None:
    environment = make_environment("hopper")
    episodes = collect_episodes(environment, Uniform(3), 150, seed=4)
    assert sum(map(len, episodes)) == 150
    *whole, last = episodes
    assert all(e.terminations[-1] and not np.any(e.truncations) for e in whole)
    assert last.terminations[-1] or last.truncations[-1]
    # the same actions from the same seed are the same physics
    first = episodes[0]
    observations = [environment.reset(seed=4)[0]]
    rewards = []
    for action in first.actions:
        observation, reward, *_ = environment.step(action)
        observations.append(observation)
        rewards.append(reward)
    assert np.array(observations) == pytest.approx(np.asarray(first.observations), abs=1e-12)
    assert rewards == pytest.approx(list(first.rewards), abs=1e-12)
    assert len(episode_returns(episodes)) == len(whole) + bool(last.terminations[-1])


def test_a_log_thinned_keeps_whole_episodes_evenly_and_survives_arrays() -> None:
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 40, size=200)
    log = [
        EpisodeBuffer(
            observations=np.full((n + 1, 1), i), actions=np.zeros((n, 1)), rewards=np.zeros(n).tolist(),
            terminations=np.zeros(n).tolist(), truncations=np.zeros(n).tolist(),
        )
        for i, n in enumerate(lengths)
    ]  # fmt: skip
    kept = thin(log, 1000)
    assert abs(sum(map(len, kept)) - 1000) < 40
    assert np.mean([float(np.asarray(e.observations)[0, 0]) for e in kept]) == pytest.approx(100.0, abs=15.0)
    assert len(thin(log, 10**6)) == 200
    again = from_arrays(to_arrays(kept))
    assert [len(e) for e in again] == [len(e) for e in kept]
    assert np.asarray(again[3].observations).tolist() == np.asarray(kept[3].observations).tolist()


def test_random_search_makes_a_cheetah_run_better() -> None:
    learned = RandomSearch()(make_environment("halfcheetah"), Goal(np.inf, 20_000), seed=0)
    returns = episode_returns(learned.log)
    assert len(returns) >= 20
    assert np.mean(returns[-8:]) > np.mean(returns[:8]) + 50.0


def test_ppo_logs_every_step_and_leaves_the_policy_that_acted() -> None:
    learned = learn_by_ppo(make_environment("hopper"), Goal(np.inf, 2048), seed=0)
    assert 1950 <= sum(map(len, learned.log)) <= 2048
    episodes = collect_episodes(make_environment("hopper"), learned.policy, 300, seed=0)
    assert all(np.abs(e.actions).max() <= 1.0 for e in episodes)
    assert np.abs(np.concatenate([e.actions for e in episodes])).std() > 0.1


def test_datasets_are_made_once_and_load_in_minari(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    tiny = recipes.Recipe(RandomSearch(), Goal(np.inf, 3000), "expert.npz")
    monkeypatch.setitem(recipes.RECIPES, "halfcheetah", tiny)
    save_policy_file(network(6, 17, np.random.default_rng(0)), tmp_path / "expert.npz")
    work = tmp_path / "work"
    arguments = ["--tasks", "halfcheetah-*", "--transitions", "1500", "--folder", str(work)]
    assert main(arguments) == 1
    assert "medium-expert needs --policy-dir" in capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.hdf5")}
    assert len(before) == 3
    assert main([*arguments, "--policy-dir", str(tmp_path)]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    dataset = minari.load_dataset("sgp/halfcheetah-medium-expert-v0")
    assert dataset.total_steps == 1500
    sheet = json.loads((work / "halfcheetah-medium-expert.json").read_text())
    transitions = load_transitions("sgp/halfcheetah-medium-expert-v0")
    assert sheet["sha256"] == transitions.dataset.hash
    assert transitions.rewards is not None
    rewards = np.concatenate([episode.rewards for episode in dataset.iterate_episodes()])
    assert transitions.rewards == pytest.approx(rewards)
    assert "| halfcheetah-medium-replay | 1" in (work / "datasheet.md").read_text()


def test_played_episodes_are_those_collected_one_by_one() -> None:
    """A deterministic controller: each environment of the batch does what it does alone, whatever the others do."""
    gains = np.random.default_rng(0).normal(size=(11, 3))
    played = play("hopper", lambda states: np.tanh(states @ gains), episodes=3, seed=7)
    for i in range(3):
        environment = make_environment("hopper")
        observation, _ = environment.reset(seed=7 + i)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = environment.step(np.tanh(observation @ gains))
            total, ended = total + float(reward), terminated or truncated
        assert played.returns[i] == pytest.approx(total, abs=1e-9)
    assert len(set(played.lengths.tolist())) > 1


def test_a_stage_plays_again_from_where_a_policy_led_it() -> None:
    stage, right = Stage("hopper-medium", 3), np.full(3, 0.2)
    begin = stage.start
    stage.warm_up(lambda states: np.tile(right, (len(states), 1)), 4)
    assert not np.allclose(stage.start, begin)
    blind = stage.play(np.tile(right, (5, 1)))
    assert stage.play_policy(lambda states: np.tile(right, (len(states), 1)), 5) == blind
    assert stage.play(np.tile(-right, (5, 1))) != blind


@pytest.mark.parametrize("task", ["halfcheetah", "hopper"])
def test_true_dynamics_are_those_of_the_environment_and_slopes_those_of_the_model(task: str) -> None:
    environment = make_environment(task)
    before = environment.reset(seed=3)[0]
    size = environment.action_space.shape[0]  # type: ignore[index]
    model = torch.nn.Linear(len(before) + size, len(before)).double()
    step = TrueStep(task, lambda state, control: model(torch.cat((state, control), dim=-1)))
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (5, size)):
        after = environment.step(action)[0]
        states, controls = (torch.from_numpy(part).expand(2, 3, -1) for part in (before, action))
        leaf = controls.clone().requires_grad_()
        found = step(states, leaf)
        # a state does not tell where MuJoCo's search for contact forces begins
        np.testing.assert_allclose(found.detach(), np.broadcast_to(after, found.shape), atol=2e-3 * np.ptp(after))
        (slope,) = torch.autograd.grad(found.sum(), leaf)
        np.testing.assert_allclose(slope[0, 0], model.weight.detach()[:, -size:].sum(0), rtol=1e-12)
        before = after
    environment.close()
