"""Transitions: their checks, their split by episodes, and the description that travels with models."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trajopt_sgp.data import DatasetInfo, Transitions, describe_dataset, hash_arrays
from trajopt_sgp.data.transitions import split_episodes
from trajopt_sgp.errors import DatasetError, ModelFileError, NotFiniteError, OptionError, ShapeError

LENGTHS = (3, 1, 7, 2, 5, 4, 8)


def make_arrays(rng: np.random.Generator) -> dict[str, Any]:
    count = sum(LENGTHS)
    return {
        "states": rng.normal(size=(count, 3)),
        "controls": rng.normal(size=(count, 2)),
        "next_states": rng.normal(size=(count, 3)),
        "episodes": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "terminated": rng.random(count) < 0.2,
    }


def make_transitions(arrays: dict[str, Any]) -> Transitions:
    info = describe_dataset("test/made-v0", arrays, ([-np.inf] * 3, [1.0] * 3), ([-1.0] * 2, [np.inf] * 2))
    return Transitions(**arrays, dataset=info)


@pytest.fixture
def transitions(rng: np.random.Generator) -> Transitions:
    return make_transitions(make_arrays(rng))


def test_sizes_and_types(transitions: Transitions) -> None:
    assert (len(transitions), transitions.state_size, transitions.control_size) == (30, 3, 2)
    assert (transitions.dataset.transitions, transitions.dataset.episodes) == (30, 7)
    assert not transitions.states.flags.writeable


def test_transitions_are_shown_in_a_line(transitions: Transitions) -> None:
    assert repr(transitions) == "Transitions('test/made-v0', K=30, n=3, m=2, rewards=no)"
    rewarded = replace(transitions, rewards=np.zeros(30))
    assert repr(rewarded.select(np.arange(4))) == "Transitions('test/made-v0', K=4, n=3, m=2, rewards=yes)"


def test_caller_keeps_its_own_arrays(rng: np.random.Generator) -> None:
    arrays = make_arrays(rng)
    transitions, first = make_transitions(arrays), arrays["states"][0].copy()
    arrays["states"][:] = 0.0
    assert np.array_equal(transitions.states[0], first)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_split_is_a_partition_by_whole_episodes(transitions: Transitions, fraction: float) -> None:
    training, validation = transitions.split(fraction, np.random.default_rng(0))
    assert set(training.episodes).isdisjoint(validation.episodes)
    assert len(training) > 0
    assert len(validation) > 0
    rows = np.vstack([training.states, validation.states])
    order = np.lexsort(np.hstack([training.episodes, validation.episodes])[None])
    assert np.array_equal(rows[order], transitions.states)
    assert training.dataset is validation.dataset is transitions.dataset


def test_split_meets_the_fraction_and_follows_the_seed(transitions: Transitions) -> None:
    sizes, held_out = [], set()
    for seed in range(20):
        _, validation = transitions.split(0.3, np.random.default_rng(seed))
        _, again = transitions.split(0.3, np.random.default_rng(seed))
        assert np.array_equal(validation.episodes, again.episodes)
        sizes.append(len(validation))
        held_out.add(tuple(np.unique(validation.episodes)))
    assert max(abs(size - 9) for size in sizes) <= max(LENGTHS) / 2
    assert len(held_out) > 10


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, math.nan])
def test_impossible_fraction_is_refused(transitions: Transitions, fraction: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        transitions.split(fraction, np.random.default_rng(0))


@pytest.mark.parametrize(("fraction", "held_out"), [(0.5, 4), (0.1, 1), (1e-9, 1), (1.0 - 1e-9, 7)])
def test_of_a_single_episode_the_end_is_held_out(transitions: Transitions, fraction: float, held_out: int) -> None:
    single = transitions.select(transitions.episodes == 6)
    training, validation = single.split(fraction, np.random.default_rng(0))
    assert np.array_equal(training.states, single.states[: 8 - held_out])
    assert np.array_equal(validation.states, single.states[8 - held_out :])


def test_a_single_transition_cannot_be_split(transitions: Transitions) -> None:
    with pytest.raises(DatasetError, match="'test/made-v0' has a single transition"):
        transitions.select(np.array([2])).split(0.5, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["states", "controls", "next_states"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_not_finite_names_episode_step_and_array(rng: np.random.Generator, name: str, value: float) -> None:
    arrays = make_arrays(rng)
    arrays[name][3 + 1 + 4, 1] = value
    with pytest.raises(NotFiniteError, match=rf"'test/made-v0'.*episode 2, step 4, {name} = "):
        make_transitions(arrays)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("states", np.zeros((30, 4))),
        ("states", np.zeros(30)),
        ("controls", np.zeros((29, 2))),
        ("next_states", np.zeros((29, 3))),
        ("episodes", np.zeros((30, 1), dtype=np.int64)),
        ("terminated", np.zeros(1, dtype=np.bool_)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(transitions: Transitions, name: str, wrong: Any) -> None:
    arrays = {key: getattr(transitions, key) for key in ("states", "controls", "next_states", "episodes", "terminated")}
    with pytest.raises(ShapeError, match="Transitions need"):
        Transitions(**arrays | {name: wrong}, dataset=transitions.dataset)


def test_hash_sees_every_number_name_type_and_bound(rng: np.random.Generator) -> None:
    arrays = make_arrays(rng)
    reference = make_transitions(arrays).dataset.hash
    assert make_transitions({name: array.copy(order="F") for name, array in arrays.items()}).dataset.hash == reference
    for name, array in arrays.items():
        changed = array.copy()
        changed.flat[-1] = changed.flat[-1] + 1 if array.dtype != bool else not changed.flat[-1]
        assert make_transitions(arrays | {name: changed}).dataset.hash != reference
    bounds = ([-np.inf] * 3, [2.0] * 3), ([-1.0] * 2, [np.inf] * 2)
    assert describe_dataset("test/made-v0", arrays, *bounds).hash != reference
    assert hash_arrays({"a": np.zeros(2)}) != hash_arrays({"b": np.zeros(2)}) != hash_arrays({"b": np.zeros((2, 1))})


def test_description_survives_json(transitions: Transitions) -> None:
    text = json.dumps(transitions.dataset.to_json(), allow_nan=False)
    assert DatasetInfo.from_json(json.loads(text)) == transitions.dataset
    with pytest.raises(ModelFileError, match="state_low"):
        DatasetInfo.from_json({"id": "x"})
    with pytest.raises(ModelFileError, match="colour"):
        DatasetInfo.from_json(json.loads(text) | {"colour": "blue"})


@pytest.mark.parametrize("lengths", [[1000, 60], [1000, *[10] * 20], [1000] * 5 + [20] * 50])
def test_split_comes_near_the_fraction_whatever_the_lengths(lengths: list[int]) -> None:
    """A long episode that is met first may not be held out where short ones would do."""
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    for seed in range(40):
        held_out = split_episodes(episodes, 0.06, np.random.default_rng(seed), "data")
        assert 0.0 < held_out.mean() < 0.11
