"""Reading files in the HDF5 layout of D4RL."""

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from trajopt_sgp.arrays import AnyArray, BoolArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import DatasetError, ShapeError

_FIELDS = ("observations", "actions", "next_observations", "rewards", "terminals", "timeouts")


def read_d4rl_file(path: str | os.PathLike[str], dataset_id: str | None = None) -> Transitions:
    """Read the transitions and rewards of a file such as `hopper_medium-v2.hdf5`.

    The layout has flat arrays of K rows: observations, actions, next_observations, rewards, terminals (the environment
    ended the episode) and timeouts (it was cut off). Files without next_observations, those of version 0, are refused:
    the states in which their episodes ended are lost. Where a row does not begin where the one before it ended, as
    between logs that were joined, the episode counts as cut off, flag or no flag.

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
    states, controls = arrays["observations"], arrays["actions"]
    episodes = np.concatenate(([0], np.cumsum(_ends(arrays))))
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


def _ends(arrays: Mapping[str, AnyArray]) -> BoolArray:
    """Return after which rows, but the last, another episode begins `(K - 1,)`."""
    flagged = arrays["terminals"] | arrays["timeouts"]
    reached, begun = arrays["next_observations"][:-1], arrays["observations"][1:]
    # files hold single precision, and not all of them the very same number twice
    joined = np.isclose(begun, reached, rtol=1e-5, atol=1e-6, equal_nan=True).all(axis=1)
    return np.asarray(flagged[:-1] | ~joined)


def _read(path: Path) -> dict[str, AnyArray]:
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in _FIELDS if name not in file]
            if missing:
                raise DatasetError(f"{path} lacks {missing}: a D4RL file has the fields {list(_FIELDS)}.")
            arrays = {name: np.asarray(file[name]) for name in _FIELDS}
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as an HDF5 file: {error}.") from error
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes["observations"] != shapes["next_observations"] or len({shape[:1] for shape in shapes.values()}) > 1:
        raise ShapeError(f"The arrays of {path} do not fit together, a row for each transition: {shapes}.")
    flags = {name: arrays[name].astype(np.bool_).ravel() for name in ("terminals", "timeouts")}
    floats = {name: arrays[name].astype(np.float64) for name in _FIELDS[:3]}
    return {**floats, **flags, "rewards": arrays["rewards"].astype(np.float64).ravel()}
