"""What a dataset is called, how large it is, where its spaces end, and the hash of its numbers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.errors import DatasetError, ModelFileError

Bounds = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class DatasetInfo:
    """Where transitions come from; travels with every model trained on them."""

    id: str
    """Minari id, or a name of the process that made the data."""
    hash: str
    """SHA-256 of the numbers and the bounds, whatever the file layout."""
    transitions: int
    """Number of transitions in the whole dataset."""
    episodes: int
    """Number of episodes in the whole dataset."""
    state_low: tuple[float, ...]
    """Lower bounds of the observation space, n numbers; may be -inf."""
    state_high: tuple[float, ...]
    """Upper bounds of the observation space, n numbers; may be inf."""
    control_low: tuple[float, ...]
    """Lower bounds of the action space, m numbers; may be -inf."""
    control_high: tuple[float, ...]
    """Upper bounds of the action space, m numbers; may be inf."""
    environment: str | None = None
    """Gymnasium id of the environment, if the dataset names one."""
    observation_keys: tuple[str, ...] = ()
    """Entries of a dict observation that make up the state, in order; empty for a plain observation."""
    minari_version: str | None = None
    """Version of Minari that wrote the dataset."""
    time_step: float | None = None
    """Time from a state to the next one [s], where it is known."""
    state_names: tuple[str, ...] = ()
    """Names of the n coordinates, where they are known."""
    control_names: tuple[str, ...] = ()
    """Names of the m coordinates, where they are known."""
    runs: tuple[int, ...] = ()
    """Number of episodes of each run in turn, where gaps divide runs; empty where each episode is a run of its own."""

    def __post_init__(self) -> None:
        for kind in ("state", "control"):
            names, size = getattr(self, f"{kind}_names"), len(getattr(self, f"{kind}_low"))
            if len(names) not in (0, size):
                raise DatasetError(f"Dataset {self.id!r}: {kind}_names lists {len(names)} names of {size} coordinates.")
        if self.runs and sum(self.runs) != self.episodes:
            raise DatasetError(
                f"Dataset {self.id!r}: runs of {sum(self.runs)} episodes, but there are {self.episodes}."
            )
        step = self.time_step
        if step is not None and not 0.0 < step < np.inf:
            raise DatasetError(f"Dataset {self.id!r}: time_step = {step}: it must be a positive number of seconds.")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON document; infinite bounds become the strings "inf" and "-inf"."""
        document = asdict(self)
        for name, value in document.items():
            if isinstance(value, tuple):
                document[name] = [_json_value(entry) for entry in value]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "DatasetInfo":
        """Rebuild the description from `to_json`.

        Raises:
            ModelFileError: an entry is missing, unknown or of the wrong kind.
        """
        values = dict(document)
        try:
            for name in ("state_low", "state_high", "control_low", "control_high"):
                values[name] = tuple(float(entry) for entry in values[name])
            for name in ("observation_keys", "state_names", "control_names", "runs"):
                values[name] = tuple(values.get(name, ()))
            return cls(**values)
        except (DatasetError, KeyError, TypeError, ValueError) as error:
            known = [field.name for field in fields(cls)]
            raise ModelFileError(f"A stored dataset description needs the entries {known}: {error!r}.") from error


def describe_dataset(
    dataset_id: str,
    arrays: Mapping[str, AnyArray],
    state_bounds: Bounds,
    control_bounds: Bounds,
    environment: str | None = None,
    observation_keys: tuple[str, ...] = (),
    minari_version: str | None = None,
    time_step: float | None = None,
    names: tuple[Sequence[str], Sequence[str]] = ((), ()),
    runs: Sequence[int] = (),
) -> DatasetInfo:
    """Describe transitions and hash them together with their bounds.

    Args:
        dataset_id: name of the dataset; not part of the hash.
        arrays: the arrays of `Transitions` by name, `episodes` among them.
        state_bounds: low and high of the observation space, `(n,)` each; may be infinite.
        control_bounds: low and high of the action space, `(m,)` each; may be infinite.
        environment: Gymnasium id.
        observation_keys: entries of a dict observation that make up the state.
        minari_version: version that wrote the dataset.
        time_step: from a state to the next one [s]; not part of the hash.
        names: of the states and of the controls, none where they are not known; not part of the hash.
        runs: number of episodes of each run in turn, where gaps divide runs; not part of the hash.
    """
    sides = ("state_low", "state_high", "control_low", "control_high")
    bounds = dict(zip(sides, (*map(_vector, state_bounds), *map(_vector, control_bounds)), strict=True))
    return DatasetInfo(
        id=dataset_id,
        hash=hash_arrays({**arrays, **bounds}),
        transitions=len(arrays["episodes"]),
        episodes=len(np.unique(arrays["episodes"])),
        environment=environment,
        observation_keys=observation_keys,
        minari_version=minari_version,
        time_step=time_step,
        state_names=tuple(names[0]),
        control_names=tuple(names[1]),
        runs=tuple(runs),
        **{name: tuple(bound.tolist()) for name, bound in bounds.items()},
    )


def hash_arrays(arrays: Mapping[str, AnyArray]) -> str:
    """Return the SHA-256, in hexadecimal, of named arrays: names, types, shapes and little-endian values in order."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        values = np.ascontiguousarray(array)
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        digest.update(json.dumps([name, values.dtype.str, values.shape]).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _vector(bound: ArrayLike) -> FloatArray:
    return np.atleast_1d(np.asarray(bound, dtype=np.float64))


def _json_value(entry: Any) -> Any:
    return str(entry) if isinstance(entry, float) and not np.isfinite(entry) else entry
