"""Writing transitions that come from no environment, a robot's recordings say, as a Minari dataset."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.data_collector import EpisodeBuffer

from trajopt_sgp.arrays import IntArray
from trajopt_sgp.data.episode_buffers import make_episode
from trajopt_sgp.data.minari_write import write_minari_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import DatasetError


@dataclass(frozen=True)
class _Recorded:
    """Stands for the environment of data that come from none."""

    observation_space: spaces.Box
    action_space: spaces.Box
    time_step: float | None
    state_names: tuple[str, ...]
    control_names: tuple[str, ...]
    runs: tuple[int, ...]
    spec: EnvSpec | None = None


def write_transitions(
    transitions: Transitions,
    dataset_id: str,
    *,
    overwrite: bool = False,
    description: str | None = None,
    algorithm_name: str = "recorded",
) -> MinariDataset:
    """Write transitions, a robot's recordings say, as a Minari dataset; `load_transitions` returns them again.

    The hash stays the same where they are a whole dataset with episodes numbered 0, 1, ...; others get that of what was
    written. Episodes that were merely cut off are marked as truncated. Rewards, where there are none, are 0 in Minari's
    files, whose metadata then say so.

    Args:
        transitions: those of one episode lie together, each beginning where the last one ended.
        dataset_id: Minari id; a namespace that is missing is created.
        overwrite: replace a dataset of the same id.
        description: one or two sentences; by default the counts.
        algorithm_name: how the controls were chosen; stored in the dataset.

    Raises:
        DatasetError: a malformed id, the id exists and `overwrite` is not set, or the disk refuses; or a transition
            does not begin where the one before it ended, or goes on where the environment had ended the episode,
            which Minari cannot hold.
    """
    info = transitions.dataset
    _check_unbroken(transitions)
    boxes = _box(info.state_low, info.state_high), _box(info.control_low, info.control_high)
    origin = _Recorded(*boxes, info.time_step, info.state_names, info.control_names, info.runs)
    edges = np.flatnonzero(np.diff(transitions.episodes)) + 1
    buffers = [_as_buffer(transitions, rows) for rows in np.split(np.arange(len(transitions)), edges)]
    counts = f"{len(transitions)} transitions in {len(buffers)} episodes."
    return write_minari_dataset(
        buffers,
        dataset_id,
        origin,
        overwrite=overwrite,
        description=description or counts,
        algorithm_name=algorithm_name,
        has_rewards=transitions.rewards is not None,
    )


def _check_unbroken(transitions: Transitions) -> None:
    within = transitions.episodes[1:] == transitions.episodes[:-1]
    joined = (transitions.states[1:] == transitions.next_states[:-1]).all(axis=1)
    broken = np.flatnonzero(within & ~joined)
    if len(broken):
        row = int(broken[0]) + 1
        raise DatasetError(
            f"Transition {row} of {transitions.dataset.id!r}, in episode {transitions.episodes[row]}, does not begin "
            "where the one before it ended: Minari keeps one path for each episode. Number its parts as episodes."
        )
    ended = np.flatnonzero(within & transitions.terminated[:-1])
    if len(ended):
        row = int(ended[0])
        raise DatasetError(
            f"Transition {row} of {transitions.dataset.id!r} terminated episode {transitions.episodes[row]}, which "
            "goes on after it: an episode ends where it is terminated. Number what follows as another episode."
        )


def _box(low: Sequence[float], high: Sequence[float]) -> spaces.Box:
    return spaces.Box(np.array(low), np.array(high), dtype=np.float64)


def _as_buffer(transitions: Transitions, rows: IntArray) -> EpisodeBuffer:
    observations = np.vstack([transitions.states[rows], transitions.next_states[rows[-1:]]])
    rewards = None if transitions.rewards is None else transitions.rewards[rows]
    return make_episode(observations, transitions.controls[rows], rewards, bool(transitions.terminated[rows[-1]]))
