"""Policies that data come from: uniform actions, and small networks stored as plain arrays."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ModelFileError
from trajopt_sgp.files import write_atomically

_LOG_SPREADS = -20.0, 2.0


class Behaviour(Protocol):
    """What acts."""

    def __call__(self, observation: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return an action `(m,)`, each entry in [-1, 1], drawn at an observation `(n,)`."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Actions uniform in [-1, 1], whatever is observed."""

    size: int
    """Number of entries m."""

    def __call__(self, observation: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return an action `(m,)`."""
        return rng.uniform(-1.0, 1.0, self.size)


@dataclass(frozen=True, eq=False)
class StoredPolicy:
    """A Gaussian about a linear map or a network of two hidden layers, squashed or clipped to [-1, 1].

    Arrays: Wmu, bmu of the output layer; W0, b0, W1, b1 of hidden layers, absent from a linear policy; the log of the
    spread as log_std, or its layer Wls, bls (none of them: deterministic); obs_mean and obs_std of the observations.
    """

    arrays: Mapping[str, FloatArray]
    """By name."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Entries: act ("tanh" or "relu"), squash ("tanh" or "clip"), obs_clip, and where it comes from."""

    def __call__(self, observation: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return an action `(m,)` drawn at an observation `(n,)`."""
        features = self._features(observation)
        action = self.arrays["Wmu"] @ features + self.arrays["bmu"]
        if (log_spread := self._log_spread(features)) is not None:
            action = action + np.exp(log_spread) * rng.standard_normal(action.shape)
        squashed: FloatArray = np.tanh(action) if self.meta["squash"] == "tanh" else np.clip(action, -1.0, 1.0)
        return squashed

    def _features(self, observation: FloatArray) -> FloatArray:
        arrays, values = self.arrays, observation
        if "obs_mean" in arrays:
            values = (values - arrays["obs_mean"]) / arrays["obs_std"]
        if self.meta.get("obs_clip"):
            values = np.clip(values, -self.meta["obs_clip"], self.meta["obs_clip"])
        for layer in ("0", "1") if "W0" in arrays else ():
            values = arrays["W" + layer] @ values + arrays["b" + layer]
            values = np.tanh(values) if self.meta["act"] == "tanh" else np.maximum(values, 0.0)
        return values

    def _log_spread(self, features: FloatArray) -> FloatArray | None:
        if "Wls" in self.arrays:
            return np.clip(self.arrays["Wls"] @ features + self.arrays["bls"], *_LOG_SPREADS)
        return self.arrays.get("log_std")


def load_policy_file(path: Path) -> StoredPolicy:
    """Read a stored policy.

    Raises:
        ModelFileError: the file is missing, damaged, or lacks what a policy needs.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name].astype(np.float64) for name in file.files if name != "meta"}
            meta = json.loads(str(file["meta"]))
    except (OSError, KeyError, ValueError) as error:
        raise ModelFileError(f"{path} holds no stored policy: {error}.") from error
    if not {"Wmu", "bmu"} <= arrays.keys() or "squash" not in meta:
        raise ModelFileError(f"{path} holds no stored policy: it needs Wmu, bmu, and meta with squash.")
    return StoredPolicy(arrays, meta)


def save_policy_file(policy: StoredPolicy, path: Path) -> None:
    """Write a policy, whole or not at all."""
    buffer = BytesIO()
    arrays: dict[str, Any] = {**policy.arrays, "meta": np.array(json.dumps(dict(policy.meta)))}
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
