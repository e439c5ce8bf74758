"""Reading files in the HDF5 layout of D4RL."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import DatasetError

_FIELDS = ("observations", "actions", "next_observations", "rewards", "terminals", "timeouts")


def read_d4rl_file(path: str | os.PathLike[str], dataset_id: str | None = None) -> Transitions:
    """Read the transitions and rewards of a file such as `hopper_medium-v2.hdf5`.

    The layout has flat arrays of K rows: observations, actions, next_observations, rewards, terminals (the environment
    ended the episode) and timeouts (it was cut off). Files without next_observations, those of version 0, are refused:
    the states in which their episodes ended are lost.

    Args:
        path: of the file.
        dataset_id: name given to the dataset; by default that of the file without suffix.

    Raises:
        DatasetError: the file is missing, damaged, or lacks a field; names those that are missing.
        ShapeError: the arrays do not fit together.
        NotFiniteError: NaN or infinity; names episode, step and field.
    """
    file = Path(path)
    arrays = _read(file)
    ends = arrays["terminals"] | arrays["timeouts"]
    episodes = np.concatenate(([0], np.cumsum(ends[:-1])))
    states, controls = arrays["observations"], arrays["actions"]
    named = {
        "states": states,
        "controls": controls,
        "next_states": arrays["next_observations"],
        "episodes": episodes.astype(np.int64),
        "terminated": arrays["terminals"],
    }
    unbounded, limit = np.full(states.shape[1], np.inf), np.ones(controls.shape[1])
    info = describe_dataset(dataset_id or file.stem, named, (-unbounded, unbounded), (-limit, limit))
    return Transitions(**named, dataset=info, rewards=arrays["rewards"])


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in _FIELDS if name not in file]
            if missing:
                raise DatasetError(f"{path} lacks {missing}: a D4RL file has the fields {list(_FIELDS)}.")
            arrays = {name: np.asarray(file[name]) for name in _FIELDS}
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as an HDF5 file: {error}.") from error
    flags = {name: arrays[name].astype(np.bool_).ravel() for name in ("terminals", "timeouts")}
    floats = {name: arrays[name].astype(np.float64) for name in _FIELDS[:3]}
    return {**floats, **flags, "rewards": arrays["rewards"].astype(np.float64).ravel()}
