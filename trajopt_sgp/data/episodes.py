"""The raw arrays of a Minari dataset, episode by episode, and their assembly into transitions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces
from minari import MinariDataset

from trajopt_sgp.arrays import AnyArray, BoolArray, FloatArray, IntArray
from trajopt_sgp.errors import DatasetError, NotFiniteError

REMEDY = "Delete the folder, then fetch or make the dataset again."

_DAMAGE = (OSError, KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class EpisodeArrays:
    """One array per episode for every field of a dataset."""

    numbers: IntArray
    """Number of each episode in the dataset, `(E,)`."""
    observations: Mapping[str, list[AnyArray]]
    """For each observation key E arrays `(T + 1, ...)`."""
    actions: list[AnyArray]
    """E arrays `(T, ...)`."""
    terminations: list[AnyArray]
    """E arrays `(T,)`."""
    rewards: list[AnyArray]
    """E arrays `(T,)`."""


def read_episodes(dataset: MinariDataset, keys: Iterable[str]) -> EpisodeArrays:
    """Read the observations of `keys` ("" for a plain observation), the actions and the terminations of all episodes.

    HDF5 files are read directly, several times faster for many short episodes than through Minari's iterator, which
    serves the other formats.

    Raises:
        DatasetError: the file is damaged.
    """
    path = Path(dataset.storage.data_path) / "main_data.hdf5"
    read = _read_hdf5 if dataset.storage.FORMAT == "hdf5" else _read_any_format
    try:
        return read(dataset, path, tuple(keys))
    except _DAMAGE as error:
        raise DatasetError(f"Dataset {dataset.id!r} at {path.parent} is damaged: {error}. {REMEDY}") from error


def assemble(
    episodes: EpisodeArrays, boxes: Mapping[str, spaces.Box], control: spaces.Box, name: str
) -> dict[str, AnyArray]:
    """Pair every observation with its action and the next observation of the same episode.

    Returns:
        The arrays of `Transitions` by name.

    Raises:
        DatasetError: shapes differ from the spaces, or an episode of T actions lacks T + 1 observations.
        NotFiniteError: NaN or infinity; names episode, step and field.
    """
    steps = np.array([len(actions) for actions in episodes.actions])
    if steps.sum() == 0:
        raise DatasetError(f"Dataset {name!r} holds no transitions.")
    fields = {f"observations/{key}".rstrip("/"): (episodes.observations[key], boxes[key], steps + 1) for key in boxes}
    columns = [_join(*field, episodes.numbers, where, name) for where, field in fields.items()]
    observations = np.hstack(columns)
    ends = np.cumsum(steps + 1)
    return {
        "states": np.delete(observations, ends - 1, axis=0),
        "controls": _join(episodes.actions, control, steps, episodes.numbers, "actions", name),
        "next_states": np.delete(observations, ends - steps - 1, axis=0),
        "episodes": np.repeat(episodes.numbers, steps),
        "terminated": _join_flags(episodes, steps, name),
    }


def _read_hdf5(dataset: MinariDataset, path: Path, keys: tuple[str, ...]) -> EpisodeArrays:
    numbers = np.asarray(dataset.episode_indices, dtype=np.int64)
    fields = (*(f"observations/{key}".rstrip("/") for key in keys), "actions", "terminations", "rewards")
    with h5py.File(path, "r") as file:
        arrays = {field: [_read_array(file.id, f"episode_{number}/{field}") for number in numbers] for field in fields}
    *observations, actions, terminations, rewards = arrays.values()
    return EpisodeArrays(numbers, dict(zip(keys, observations, strict=True)), actions, terminations, rewards)


def _read_array(file: h5py.h5f.FileID, name: str) -> AnyArray:
    # h5py's low-level interface: half the time of indexing groups, which counts over ten thousand episodes
    stored = h5py.h5d.open(file, name.encode())
    array = np.empty(stored.shape, stored.dtype)
    stored.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def _read_any_format(dataset: MinariDataset, path: Path, keys: tuple[str, ...]) -> EpisodeArrays:
    episodes = list(dataset.iterate_episodes())
    return EpisodeArrays(
        numbers=np.asarray(dataset.episode_indices, dtype=np.int64),
        observations={key: [_entry(episode.observations, key) for episode in episodes] for key in keys},
        actions=[np.asarray(episode.actions) for episode in episodes],
        terminations=[np.asarray(episode.terminations) for episode in episodes],
        rewards=[np.asarray(episode.rewards) for episode in episodes],
    )


def _entry(observations: Any, key: str) -> AnyArray:
    for part in key.split("/") if key else ():
        observations = observations[part]
    return np.asarray(observations)


def _join(
    arrays: list[AnyArray],
    box: spaces.Box,
    lengths: IntArray,
    numbers: IntArray,
    field: str,
    name: str,
) -> FloatArray:
    for array, length, number in zip(arrays, lengths.tolist(), numbers.tolist(), strict=True):
        if array.shape != (length, *box.shape):
            raise DatasetError(
                f"Dataset {name!r}, episode {number}: {field} have shape {array.shape} where {(length, *box.shape)} "
                "fits the spaces and the number of actions (T actions, T + 1 observations)."
            )
    joined = np.concatenate(arrays).reshape(int(lengths.sum()), -1).astype(np.float64)
    finite = np.isfinite(joined).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        episode = int(np.searchsorted(np.cumsum(lengths), row, side="right"))
        step = row - int(lengths[:episode].sum())
        raise NotFiniteError(
            f"Dataset {name!r}, episode {numbers[episode]}, step {step}: {field} hold {joined[row].tolist()}. "
            "NaN and infinity cannot be learned from; repair or drop the episode."
        )
    return joined


def _join_flags(episodes: EpisodeArrays, steps: IntArray, name: str) -> BoolArray:
    flags = np.concatenate(episodes.terminations).astype(np.bool_)
    if flags.shape != (steps.sum(),):
        raise DatasetError(f"Dataset {name!r}: {len(flags)} terminations for {steps.sum()} actions.")
    return flags
