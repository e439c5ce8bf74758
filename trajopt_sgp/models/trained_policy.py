"""A policy with its parameters: a function of an observation, and a file."""

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ModelFileError, ShapeError
from trajopt_sgp.models.policies import NeuralPolicy, OpenLoop, Policy, PolicySpace, TimeVaryingAffine
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors

PathLike = str | os.PathLike[str]

_CLASSES: dict[str, type[Policy]] = {kind.__name__: kind for kind in (OpenLoop, TimeVaryingAffine, NeuralPolicy)}
_FORMAT = 1
_ARRAYS = tuple(field.name for field in fields(PolicySpace) if field.name != "horizon")


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """A control law: state `(n,)` and, where it varies with time, the number of the step, to a control `(m,)`.

    Raises:
        ShapeError: the number of parameters is not that of the policy.
    """

    policy: Policy
    """The family it belongs to."""
    space: PolicySpace
    """What it sees and does."""
    parameters: FloatArray
    """`(k,)`."""

    def __post_init__(self) -> None:
        size = self.policy.size(self.space)
        if self.parameters.shape != (size,):
            raise ShapeError(f"{self.policy.name} needs parameters ({size},), not {self.parameters.shape}.")

    def __call__(self, state: ArrayLike, knot: int = 0) -> FloatArray:
        """Return controls `(..., m)` within their bounds at states `(..., n)`; beyond the horizon as in its last step.

        Raises:
            ShapeError: the states have another number of coordinates.
        """
        states = np.asarray(state, dtype=np.float64)
        if states.shape[-1:] != (self.space.state_size,):
            raise ShapeError(f"This policy takes states (..., {self.space.state_size}), not {states.shape}.")
        last = min(max(knot, 0), self.space.horizon - 1)
        batch = torch.from_numpy(states.reshape(1, -1, self.space.state_size).copy())
        with torch.no_grad():
            law = self.policy.law(self.space, torch.from_numpy(self.parameters)[None])
            commands = law(batch, last).numpy().reshape(*states.shape[:-1], self.space.control_size)
        controls: FloatArray = np.clip(commands, self.space.lower, self.space.upper)
        return controls

    def save(self, path: PathLike) -> None:
        """Write it to a file, whole or not at all; the same policy gives the same bytes.

        Raises:
            ModelFileError: the file cannot be written.
        """
        header = {
            "format": _FORMAT,
            "policy": type(self.policy).__name__,
            "architecture": asdict(self.policy),  # type: ignore[call-overload]
            "horizon": self.space.horizon,
        }
        arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(self.space, name))) for name in _ARRAYS}
        write_tensors(Path(path), header, {"parameters": torch.from_numpy(self.parameters), **arrays})


def load_policy(path: PathLike) -> TrainedPolicy:
    """Read a policy from a file of `TrainedPolicy.save`.

    Raises:
        ModelFileError: the file is missing, damaged, or holds something else.
    """
    header, tensors = read_tensors(Path(path))
    kind = _CLASSES.get(str(header.get("policy")))
    if header.get("format") != _FORMAT or kind is None:
        raise ModelFileError(f"{path} holds no policy of this version; known policies are {sorted(_CLASSES)}.")
    try:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        space = PolicySpace(header["horizon"], *(arrays[name] for name in _ARRAYS))
        return TrainedPolicy(kind(**header["architecture"]), space, arrays["parameters"])
    except (KeyError, TypeError, ValueError, ShapeError) as error:
        raise ModelFileError(f"{path} holds no valid {kind.__name__}: {error}") from error
