"""Collecting a dataset."""

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
from minari.storage.datasets_root_dir import get_dataset_path

from trajopt_sgp.cli.report import Report, make_listing, progress_bar
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.data import collect_random_transitions, load_transitions, local_dataset_ids, write_minari_dataset
from trajopt_sgp.data.minari_io import check_dataset_id
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID
from trajopt_sgp.errors import DatasetError, OptionError


@dataclass(frozen=True, kw_only=True)
class CollectRequest:
    """The arguments of the command."""

    transitions: int
    episode_steps: int
    dataset: str
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
    _check_free(request)
    environment = make_environment(request.environment)
    with open_run_folder(request.folder) as folder, contextlib.closing(environment):
        return _collect(request, environment, folder)


def _collect(request: CollectRequest, environment: gymnasium.Env[Any, Any], folder: RunFolder) -> Report:
    begin = time.perf_counter()
    with progress_bar("Collecting", request.transitions, request.json_output) as update:
        buffers = collect_random_transitions(
            environment, request.transitions, request.seed, request.episode_steps, lambda done: update(done, "")
        )
    write_minari_dataset(buffers, request.dataset, environment, overwrite=request.overwrite)
    data = load_transitions(request.dataset)
    document = {
        "dataset": request.dataset,
        "path": get_dataset_path(request.dataset),
        "transitions": len(data),
        "episodes": data.dataset.episodes,
        "hash": data.dataset.hash,
        "seconds": time.perf_counter() - begin,
    }
    folder.write_config("collect", asdict(request))
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
            f"This package brings {CARTPOLE_SWING_UP_ID!r}."
        ) from error


def _check_free(request: CollectRequest) -> None:
    check_dataset_id(request.dataset)
    if request.dataset in local_dataset_ids() and not request.overwrite:
        raise DatasetError(
            f"Dataset {request.dataset!r} exists: choose another id with --dataset, or replace it with --overwrite."
        )
