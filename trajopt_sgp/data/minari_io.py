"""Reading Minari datasets, local or from the hub, as transitions."""

import contextlib
import difflib
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Mapping, Sequence

import gymnasium
import minari
import numpy as np
from minari import MinariDataset
from minari.dataset.minari_dataset import parse_dataset_id
from minari.storage.datasets_root_dir import get_dataset_path

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.episodes import REMEDY, assemble, read_episodes
from trajopt_sgp.data.observations import control_box, state_boxes
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import DatasetError

TIME_STEP = "time_step"
"""Entry of a dataset's metadata: time from a state to the next one [s]; Minari has none of its own."""
NAMES = ("state_names", "control_names")
"""Entries of a dataset's metadata: names of the coordinates, a list in JSON."""
RUNS = "runs"
"""Entry of a dataset's metadata: number of episodes of each run, a list in JSON."""
HAS_REWARDS = "has_rewards"
"""Entry of a dataset's metadata: False where none were recorded and Minari, which asks for some, has zeros."""
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AssertionError, NotImplementedError, gymnasium.error.Error)


def load_transitions(
    dataset_id: str, download: bool = False, observation_keys: Sequence[str] | None = None
) -> Transitions:
    """Read every transition of a Minari dataset, with its reward where rewards were recorded.

    Args:
        dataset_id: Minari id, such as `D4RL/pointmaze/umaze-v2`. Local datasets lie where `MINARI_DATASETS_PATH` says,
            else in `~/.minari/datasets`.
        download: fetch the dataset from the Minari hub when it is not on this machine.
        observation_keys: for dict observations, the entries that make up the state, in order ("outer/inner" for nested
            ones). Default: all in the order of the space; for a task with a goal, `observation` alone.

    Raises:
        DatasetError: the id is malformed or unknown, the download fails, the files are damaged, or the spaces are not
            vectors of real numbers.
        OptionError: observation keys that do not exist.
        NotFiniteError: NaN or infinity; names episode, step and field.
    """
    dataset = open_dataset(dataset_id, download)
    boxes = state_boxes(dataset.observation_space, observation_keys, dataset_id)
    control = control_box(dataset.action_space, dataset_id)
    episodes = read_episodes(dataset, boxes)
    arrays = assemble(episodes, boxes, control, dataset_id)
    info = describe_dataset(
        dataset_id,
        arrays,
        state_bounds=(
            np.hstack([box.low.ravel() for box in boxes.values()]),
            np.hstack([box.high.ravel() for box in boxes.values()]),
        ),
        control_bounds=(control.low.ravel(), control.high.ravel()),
        environment=dataset.env_spec.id if dataset.env_spec else None,
        observation_keys=tuple(key for key in boxes if key),
        minari_version=str(dataset.minari_version),
        time_step=_time_step(dataset),
        names=_names(dataset, arrays),
        runs=_runs(dataset, len(np.unique(arrays["episodes"]))),
    )
    recorded = dataset.storage.metadata.get(HAS_REWARDS) is not False
    return Transitions(**arrays, dataset=info, rewards=np.concatenate(episodes.rewards) if recorded else None)


def open_dataset(dataset_id: str, download: bool = False) -> MinariDataset:
    """Open a Minari dataset, local or (with `download`) from the hub.

    Raises:
        DatasetError: the id is malformed or unknown, the download fails, or the files are damaged.
    """
    check_dataset_id(dataset_id)
    path = get_dataset_path(dataset_id) / "data"
    if not path.exists():
        if not download:
            raise DatasetError(_not_found(dataset_id))
        _download(dataset_id)
    try:
        return minari.load_dataset(dataset_id)
    except _DAMAGE as error:
        raise DatasetError(f"Dataset {dataset_id!r} at {path} is damaged: {error}. {REMEDY}") from error


def check_dataset_id(dataset_id: str) -> None:
    """Raise `DatasetError` unless `dataset_id` has the form Minari asks for."""
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{dataset_id!r} is not a Minari dataset id: it must read namespace/name-v0, the namespace optional "
            "(two or more letters), the version a number."
        ) from error


def local_dataset_ids() -> list[str]:
    """Return the ids of the Minari datasets on this machine, sorted; their files are not opened."""
    root = get_dataset_path()
    folders = (path.parents[1].relative_to(root) for path in root.glob("**/data/metadata.json"))
    return sorted(folder.as_posix() for folder in folders if not folder.parts[0].startswith("."))


def _time_step(dataset: MinariDataset) -> float | None:
    found = dataset.storage.metadata.get(TIME_STEP)
    # other writers may mean something else by this name
    return float(found) if isinstance(found, int | float) and 0.0 < found < math.inf else None


def _runs(dataset: MinariDataset, episodes: int) -> list[int]:
    """Return the number of episodes of each run, none where that is not told or is that of other episodes."""
    try:
        runs = json.loads(dataset.storage.metadata.get(RUNS, "[]"))
    except (TypeError, ValueError):
        return []
    fits = isinstance(runs, list) and all(isinstance(count, int) and count > 0 for count in runs)
    return runs if fits and sum(runs) == episodes else []


def _names(dataset: MinariDataset, arrays: Mapping[str, AnyArray]) -> tuple[Sequence[str], Sequence[str]]:
    """Return names of states and controls, none where they are not told or are those of other coordinates."""
    found = []
    for entry, field in zip(NAMES, ("states", "controls"), strict=True):
        try:
            names = json.loads(dataset.storage.metadata.get(entry, "[]"))
        except (TypeError, ValueError):
            names = []
        fits = isinstance(names, list) and len(names) == arrays[field].shape[1]
        found.append([str(name) for name in names] if fits else [])
    return found[0], found[1]


def _not_found(dataset_id: str) -> str:
    local = local_dataset_ids()
    shown = difflib.get_close_matches(dataset_id, local, n=3, cutoff=0.5) or local[:5]
    left_out = len(local) - len(shown)
    more = f" and {left_out} more (`trajopt-sgp info` lists all)" if left_out else ""
    listing = f"Datasets here: {', '.join(shown)}{more}." if shown else "No dataset is here yet."
    return (
        f"Dataset {dataset_id!r} is not in {get_dataset_path()}. {listing} "
        "List those on the hub with `minari list remote` and fetch one with `--download` (download=True) or "
        f"`minari download {dataset_id}`; make a cart-pole dataset with `trajopt-sgp collect`."
    )


def _download(dataset_id: str) -> None:
    try:
        # Minari prints its progress; standard output belongs to the command's own result
        with contextlib.redirect_stdout(sys.stderr):
            minari.download_dataset(dataset_id)
    except _download_errors() as error:
        raise DatasetError(
            f"Dataset {dataset_id!r} could not be downloaded: {error}. "
            "List those on the hub with `minari list remote`; downloads need a network."
        ) from error


def _download_errors() -> tuple[type[Exception], ...]:
    """Return what a failed download raises; what the hub's client raises without a network depends on its version."""
    clients = [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name) is not None]
    network = tuple(importlib.import_module(name).HTTPError for name in clients)
    return (ImportError, KeyError, OSError, RuntimeError, ValueError, *network)
