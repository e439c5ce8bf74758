"""Scores and files of D4RL."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from trajopt_sgp.data import D4RL_TASKS, d4rl_robot, d4rl_score, read_d4rl_file
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError


def test_scores_are_a_straight_line_between_the_reference_returns() -> None:
    assert d4rl_score("hopper-medium-v2", [-20.272305, 3234.3]) == pytest.approx([0.0, 100.0])
    assert d4rl_score("HalfCheetah-v4", 0.5 * (12135.0 - 280.178953)) == pytest.approx(50.0)
    assert d4rl_score("walker2d", np.full((2, 3), 1.629008)).shape == (2, 3)


def test_there_are_twelve_tasks_of_three_robots() -> None:
    assert len(set(D4RL_TASKS)) == 12
    assert {d4rl_robot(task) for task in D4RL_TASKS} == {"halfcheetah", "hopper", "walker2d"}


def test_other_robots_are_refused() -> None:
    with pytest.raises(OptionError, match="choose from .*walker2d"):
        d4rl_score("ant-medium-v2", 1.0)


def write_file(path: Path, **changes: np.ndarray | None) -> Path:
    """Two episodes of three and two steps, the first ended by a fall, the second cut off."""
    rng = np.random.default_rng(0)
    path_of = [rng.normal(size=(steps + 1, 4)).astype(np.float32) for steps in (3, 2)]
    arrays: dict[str, np.ndarray | None] = {
        "observations": np.concatenate([states[:-1] for states in path_of]),
        "actions": rng.uniform(-1.0, 1.0, (5, 2)).astype(np.float32),
        "next_observations": np.concatenate([states[1:] for states in path_of]),
        "rewards": np.arange(5, dtype=np.float32),
        "terminals": np.array([0, 0, 1, 0, 0], dtype=bool),
        "timeouts": np.array([0, 0, 0, 0, 1], dtype=bool),
        **changes,
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return path


def test_a_file_becomes_transitions_with_rewards(tmp_path: Path) -> None:
    transitions = read_d4rl_file(write_file(tmp_path / "hopper_medium-v2.hdf5"))
    assert transitions.dataset.id == "hopper_medium-v2"
    assert (transitions.state_size, transitions.control_size, len(transitions)) == (4, 2, 5)
    assert transitions.episodes.tolist() == [0, 0, 0, 1, 1]
    assert transitions.terminated.tolist() == [False, False, True, False, False]
    assert transitions.rewards is not None
    assert transitions.rewards.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    kept = transitions.select(np.array([True, False, False, False, True]))
    assert kept.rewards is not None
    assert kept.rewards.tolist() == [0.0, 4.0]


def test_a_jump_without_a_flag_cuts_the_episode(tmp_path: Path) -> None:
    """As where D4RL joined two logs, medium and expert say, the first of which ended in the middle of an episode."""
    plain = read_d4rl_file(write_file(tmp_path / "plain.hdf5"))
    silent = {"terminals": np.zeros(5, dtype=bool), "timeouts": np.zeros(5, dtype=bool)}
    joined = read_d4rl_file(write_file(tmp_path / "joined.hdf5", **silent))
    assert joined.episodes.tolist() == [0, 0, 0, 1, 1]
    assert not joined.terminated.any()
    # the same number twice, once rounded, is no jump
    rounded = plain.next_states.astype(np.float32) * np.float32(1.0 + 1e-7)
    again = read_d4rl_file(write_file(tmp_path / "rounded.hdf5", next_observations=rounded))
    assert again.episodes.tolist() == [0, 0, 0, 1, 1]


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="lacks .'next_observations'"):
        read_d4rl_file(write_file(tmp_path / "old.hdf5", next_observations=None))
    with pytest.raises(ShapeError, match="do not fit together"):
        read_d4rl_file(write_file(tmp_path / "short.hdf5", timeouts=np.zeros(4, dtype=bool)))
    with pytest.raises(NotFiniteError, match="episode 1, step 0, rewards"):
        read_d4rl_file(write_file(tmp_path / "nan.hdf5", rewards=np.array([0.0, 0.0, 0.0, np.nan, 0.0])))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_d4rl_file(tmp_path / "missing.hdf5")
