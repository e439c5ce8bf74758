"""d3rlpy's methods on our transitions: they see the right data and give a policy."""

from typing import Any

import numpy as np
import pytest

from benchmarks.d4rl.peers import PEERS, best_episodes, train_peer
from tests.synthetic import make_transitions
from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import OptionError


def make_data(count: int = 600) -> Transitions:
    """u = x in the first half of the episodes, u = -x in the other; episodes of the first earn more."""
    rng = np.random.default_rng(0)
    states = rng.uniform(-0.5, 0.5, (count, 2))
    good = np.arange(count) < count // 2
    bare = make_transitions(states, np.where(good[:, None], states, -states), 0.9 * states)
    arrays: dict[str, Any] = {
        "states": bare.states,
        "controls": bare.controls,
        "next_states": bare.next_states,
        "episodes": bare.episodes,
        "terminated": bare.terminated,
    }
    return Transitions(**arrays, dataset=bare.dataset, rewards=good + 0.01 * rng.random(count))


def test_the_best_episodes_are_whole_and_hold_the_share() -> None:
    data = make_data()
    assert data.rewards is not None
    best = best_episodes(data, 0.1)
    assert len(best) == 60
    returns = np.bincount(data.episodes, weights=data.rewards)
    chosen = np.unique(best.episodes)
    assert returns[chosen].min() >= np.sort(returns)[-len(chosen)]
    assert len(best_episodes(data, 1.0)) == len(data)


def test_cloning_the_best_finds_their_policy() -> None:
    """Cloning all of them averages the two policies to nothing."""
    data, states = make_data(), np.array([[0.4, -0.4], [-0.2, 0.3]])
    best = train_peer("10%-bc", data, 400, seed=0)(states)
    assert best == pytest.approx(states, abs=0.12)
    assert np.abs(train_peer("bc", data, 400, seed=0)(states)).max() < 0.2


@pytest.mark.parametrize("name", ["td3+bc", "iql"])
def test_every_peer_trains_and_acts(name: str) -> None:
    controls = train_peer(name, make_data(), 5, seed=0)(np.zeros((3, 2)))
    assert controls.shape == (3, 2)
    assert np.abs(controls).max() <= 1.0


def test_unknown_peers_are_refused() -> None:
    with pytest.raises(OptionError, match="choose from"):
        train_peer("cql", make_data(), 1, seed=0)
    assert set(PEERS) == {"bc", "10%-bc", "td3+bc", "iql"}
