"""Collecting a dataset."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
from minari.data_collector import EpisodeBuffer
from minari.storage.datasets_root_dir import get_dataset_path

from trajopt_sgp.cli.report import Report, make_listing, progress_bar
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.data import collect_random_transitions, load_transitions, local_dataset_ids, write_minari_dataset
from trajopt_sgp.data.minari_io import check_dataset_id
from trajopt_sgp.envs import ARM_PUSHER_ID, PLANAR_PUSHER_ID, collect_pusher_demonstrations
from trajopt_sgp.errors import DatasetError, OptionError

_NAMESPACE = "trajopt_sgp/"

Collector = Callable[[gymnasium.Env[Any, Any], int, int, int, Callable[[int], object]], list[EpisodeBuffer]]
"""Environment, transitions, seed, steps of an episode and a report of progress, to episodes."""


@dataclass(frozen=True)
class Collection:
    """How data of an environment are collected, and how many by default."""

    collector: Collector = collect_random_transitions
    """Steps the environment."""
    algorithm: str = "uniform random actions"
    """How the actions are chosen; stored in the dataset."""
    transitions: int = 10_000
    """Number of transitions where none is asked for."""
    episode_steps: int = 10
    """Largest number of steps of an episode where none is asked for."""
    dataset: str = "cartpole/random-v0"
    """Minari id where none is asked for."""


_PUSHES = Collection(
    collect_pusher_demonstrations, "scripted demonstrations of pushing", 2000, 50, "pusher/demonstrations-v0"
)

COLLECTIONS: Mapping[str, Collection] = {
    PLANAR_PUSHER_ID: _PUSHES,
    ARM_PUSHER_ID: replace(_PUSHES, dataset="pusher/arm-demonstrations-v0"),
}
"""By environment; all others take random actions."""


@dataclass(frozen=True, kw_only=True)
class CollectRequest:
    """The arguments of the command."""

    transitions: int | None
    """None for the number of the collection; so for the next two."""
    episode_steps: int | None
    dataset: str | None
    environment: str
    overwrite: bool
    folder: Path
    seed: int
    json_output: bool


def run_collect(request: CollectRequest) -> Report:
    """Collect, write, read back and report.

    Raises:
        DatasetError: the id is malformed or taken, or the disk refuses.
        OptionError: an unknown environment, a number below 1.
        IncompatibleError: the environment does not offer what collecting needs.
    """
    collection = _asked_for(request)
    check_free(collection.dataset, request.overwrite)
    environment = make_environment(request.environment)
    with open_run_folder(request.folder) as folder, contextlib.closing(environment):
        return _collect(request, collection, environment, folder)


def _asked_for(request: CollectRequest) -> Collection:
    """Return the collection of the environment with what the request says otherwise."""
    names = ("transitions", "episode_steps", "dataset")
    given = {name: getattr(request, name) for name in names if getattr(request, name) is not None}
    return replace(COLLECTIONS.get(request.environment, Collection()), **given)


def _collect(
    request: CollectRequest, collection: Collection, environment: gymnasium.Env[Any, Any], folder: RunFolder
) -> Report:
    begin = time.perf_counter()
    asked = collection.transitions, request.seed, collection.episode_steps
    with progress_bar("Collecting", collection.transitions, request.json_output) as update:
        buffers = collection.collector(environment, *asked, lambda done: update(done, ""))
    name, algorithm = collection.dataset, collection.algorithm
    write_minari_dataset(buffers, name, environment, overwrite=request.overwrite, algorithm_name=algorithm)
    data = load_transitions(name)
    document = {
        "dataset": name,
        "path": get_dataset_path(name),
        "transitions": len(data),
        "episodes": data.dataset.episodes,
        "hash": data.dataset.hash,
        "seconds": time.perf_counter() - begin,
    }
    resolved = {key: getattr(collection, key) for key in ("transitions", "episode_steps", "dataset")}
    folder.write_config("collect", asdict(request) | resolved)
    folder.write_json("collect.json", document)
    return Report(document, [make_listing("Dataset", document)])


def make_environment(environment_id: str) -> gymnasium.Env[Any, Any]:
    """Make an environment by its Gymnasium id.

    Raises:
        OptionError: there is none; says which this package brings.
    """
    try:
        return gymnasium.make(environment_id)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise OptionError(
            f"Environment {environment_id!r} cannot be made: {str(error).rstrip('.')}. "
            f"This package brings {', '.join(own_environments())}."
        ) from error


def own_environments() -> list[str]:
    """Return the Gymnasium ids of the environments of this package."""
    return sorted(name for name in gymnasium.registry if name.startswith(_NAMESPACE))


def check_free(dataset: str, overwrite: bool) -> None:
    """Raise `DatasetError` where an id is malformed, or taken and not to be replaced."""
    check_dataset_id(dataset)
    if dataset in local_dataset_ids() and not overwrite:
        raise DatasetError(
            f"Dataset {dataset!r} exists: choose another id with --dataset, or replace it with --overwrite."
        )
