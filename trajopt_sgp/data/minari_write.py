"""Writing episodes as a Minari dataset, whole or not at all."""

import json
import math
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import create_namespace, list_local_namespaces
from minari.storage.datasets_root_dir import get_dataset_path

from trajopt_sgp.data.minari_io import HAS_REWARDS, NAMES, RUNS, TIME_STEP, check_dataset_id, open_dataset
from trajopt_sgp.errors import DatasetError
from trajopt_sgp.files import flush


@runtime_checkable
class Origin(Protocol):
    """What episodes come from: a Gymnasium environment, or what stands for one."""

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """Space of the observations."""

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Space of the actions."""

    @property
    def spec(self) -> EnvSpec | None:
        """By which the environment can be made again, if it can."""


def write_minari_dataset(
    buffers: Sequence[EpisodeBuffer],
    dataset_id: str,
    environment: Origin,
    *,
    overwrite: bool = False,
    description: str | None = None,
    author: str = "trajopt_sgp",
    algorithm_name: str = "uniform random actions",
    code_permalink: str | None = None,
    has_rewards: bool = True,
) -> MinariDataset:
    """Write episodes as a Minari dataset in Minari's local folder.

    The files are made in a hidden folder of Minari's root, flushed to disk and then renamed, so that an interrupted
    write leaves no dataset, and an interrupted overwrite the old one. (A process killed between the two renames of an
    overwrite leaves the old dataset in that hidden folder.)

    Args:
        buffers: episodes, at least one; T + 1 observations for T actions.
        dataset_id: Minari id; a namespace that is missing is created.
        environment: the environment the episodes come from; gives spaces, the specification by which
            `MinariDataset.recover_environment` makes it again, the time step, where it has a `time_step` or `dt`, and
            names of coordinates, where it has tuples `state_names` and `control_names`.
        overwrite: replace a dataset of the same id.
        description: one or two sentences; by default the counts and the environment.
        author: stored in the dataset.
        algorithm_name: how the actions were chosen; stored in the dataset.
        code_permalink: address of the code that made the dataset; stored if given.
        has_rewards: False where the rewards are none, only what Minari asks for: `load_transitions` then returns none.

    Returns:
        The dataset, opened.

    Raises:
        DatasetError: no episodes, a malformed id, the id exists and `overwrite` is not set, or the disk refuses.
    """
    check_dataset_id(dataset_id)
    root = get_dataset_path()
    target = root / dataset_id
    if not buffers:
        raise DatasetError(f"Dataset {dataset_id!r} would be empty: give at least one episode.")
    if target.exists() and not overwrite:
        raise DatasetError(f"Dataset {dataset_id!r} exists: choose another id, or replace it with overwrite=True.")
    metadata = {
        "dataset_id": dataset_id,
        "minari_version": version("minari"),
        "author": {author},
        "algorithm_name": algorithm_name,
        "description": description or _describe(buffers, environment),
        **({"code_permalink": code_permalink} if code_permalink else {}),
        **({} if has_rewards else {HAS_REWARDS: False}),
        **_time_step(environment),
        **_lists(environment),
    }
    try:
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=root) as folder:
            fresh = Path(folder) / "dataset"
            fresh.mkdir()
            _write_files(fresh / "data", buffers, environment, metadata)
            _make_namespace(dataset_id)
            _publish(fresh, target, Path(folder) / "replaced")
    except OSError as error:
        raise DatasetError(f"Dataset {dataset_id!r} could not be written to {root}: {error}.") from error
    return open_dataset(dataset_id)


def _write_files(folder: Path, buffers: Sequence[EpisodeBuffer], environment: Origin, metadata: dict[str, Any]) -> None:
    # what minari.create_dataset_from_buffers does, but in a folder of our choice
    storage = MinariStorage.new(folder, environment.observation_space, environment.action_space, environment.spec)
    storage.update_metadata(metadata)
    storage.update_episodes(buffers)
    for path in (*folder.iterdir(), folder):
        flush(path)


def _publish(fresh: Path, target: Path, replaced: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(replaced)
    try:
        fresh.rename(target)
    finally:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
    flush(target.parent)


def _make_namespace(dataset_id: str) -> None:
    namespace = parse_dataset_id(dataset_id)[0]
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)


def _time_step(environment: Origin) -> dict[str, float]:
    """Return the entry of the metadata that tells the time step, or none."""
    inner = getattr(environment, "unwrapped", environment)
    told = [getattr(inner, name, None) for name in ("time_step", "dt")]
    known = [float(step) for step in told if isinstance(step, int | float) and 0.0 < step < math.inf]
    return {TIME_STEP: known[0]} if known else {}


def _lists(environment: Origin) -> dict[str, str]:
    """Return the entries of the metadata that tell the names of the coordinates and what the runs are, or none."""
    inner = getattr(environment, "unwrapped", environment)
    told = {entry: getattr(inner, entry, None) for entry in (*NAMES, RUNS)}
    return {entry: json.dumps(list(parts)) for entry, parts in told.items() if isinstance(parts, tuple) and parts}


def _describe(buffers: Sequence[EpisodeBuffer], environment: Origin) -> str:
    name = environment.spec.id if environment.spec else type(getattr(environment, "unwrapped", environment)).__name__
    return f"{sum(map(len, buffers))} transitions of {name} in {len(buffers)} episodes."
