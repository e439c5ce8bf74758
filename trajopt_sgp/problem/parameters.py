"""What may change between two solves of one problem without building anything anew."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError


@dataclass(frozen=True, eq=False)
class TimeVarying:
    """Values of a parameter at every knot: a reference to follow, for example.

    In continuous time they are linear in between, for the dynamics and for integrals, in every formulation.
    """

    values: ArrayLike
    """`(N+1, k)`."""


ParameterValue = ArrayLike | TimeVarying | float
"""A number, a vector `(k,)`, or a vector for every knot."""


@dataclass(frozen=True)
class Parameters:
    """Values of everything that a built program leaves open.

    Letters: P programs of a batch, N intervals, n states, m controls.
    """

    initial_state: Tensor
    """x_0, `(n,)`, or `(P, n)` for a batch of programs."""
    progress: float = 0.0
    """Place on the annealing schedule of the distances to data, in [0, 1]."""
    values: Mapping[str, Tensor] = field(default_factory=dict)
    """The user's parameters by name: `(k,)`, or `(N+1, k)` where they vary over time."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Weights and noise levels that differ from those of the terms, by `term.weight` and `term.sigma`."""
    previous_control: Tensor | None = None
    """The control `(m,)` applied before the first, which limits on the rate of change refer to."""

    def number(self, name: str, default: float) -> Any:
        """Return a weight or noise level, the term's own unless it has been set for this solve.

        While a function is traced it is a tensor without dimensions, which takes the same arithmetic.
        """
        return self.numbers.get(name, default)

    def at_end(self) -> "Parameters":
        """Return the same parameters at the end of the annealing schedule."""
        return self if self.progress == 1.0 else replace(self, progress=1.0)

    def to(self, dtype: torch.dtype) -> "Parameters":
        """Return the same parameters in another precision."""
        values = {name: value.to(dtype) for name, value in self.values.items()}
        before = None if self.previous_control is None else self.previous_control.to(dtype)
        return replace(self, initial_state=self.initial_state.to(dtype), values=values, previous_control=before)

    def local(self, position: FloatArray) -> "Parameters":
        """Return the parameters with time-varying values taken at places `(K,)`, counted in intervals: `(K, k)`."""
        if all(value.ndim == 1 for value in self.values.values()):
            return self
        return replace(self, values={name: _interpolate(value, position) for name, value in self.values.items()})

    def ends(self, position: FloatArray) -> "Parameters":
        """Return the same at both ends of the intervals that begin at places `(K,)`, side by side: `(K, 2k)`."""
        first, last = self.local(position), self.local(position + 1.0)
        if first is self:
            return self
        joined = {name: torch.cat([v, last.values[name]], dim=-1) for name, v in first.values.items() if v.ndim > 1}
        return replace(self, values={**self.values, **joined})


def finite_number(name: str, value: Any) -> float:
    """Return a weight or noise level as a Python number.

    Raises:
        OptionError: it is no number, or not finite.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(f"{name} = {value!r}: it must be a finite number.")
    return number


def not_negative(name: str, value: float) -> None:
    """Check a weight.

    Raises:
        OptionError: it is negative.
    """
    if value < 0.0:
        raise OptionError(f"{name} = {value!r}: it must not be negative.")


def parameter_tensors(
    declared: Mapping[str, ParameterValue], changes: Mapping[str, ParameterValue], horizon: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the values of all declared parameters, some of them changed, as tensors.

    Raises:
        OptionError: a value is no number.
        ShapeError: a value has another shape than the declared one, or a varying one does not fit the horizon.
        NotFiniteError: a value is NaN or infinite.
    """
    tensors = {name: _tensor(name, value, horizon, dtype) for name, value in declared.items()}
    for name, value in changes.items():
        changed = _tensor(name, value, horizon, dtype)
        if changed.shape[-1] != tensors[name].shape[-1]:
            raise ShapeError(
                f"Parameter {name!r} has {changed.shape[-1]} components; declared were {tensors[name].shape[-1]}."
            )
        tensors[name] = changed
    return tensors


def _tensor(name: str, value: ParameterValue, horizon: int, dtype: torch.dtype) -> Tensor:
    varying = isinstance(value, TimeVarying)
    try:
        array = np.array(value.values if isinstance(value, TimeVarying) else value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OptionError(f"Parameter {name!r} = {value!r}: it must be a number or a vector of numbers.") from error
    if not varying:
        array = np.atleast_1d(array)
    if array.ndim != (2 if varying else 1) or (varying and len(array) != horizon + 1):
        wanted = (
            f"({horizon + 1}, k), one row for every knot of this horizon"
            if varying
            else "(k,); use TimeVarying for one per knot"
        )
        raise ShapeError(f"Parameter {name!r} has shape {array.shape}; it must be {wanted}.")
    if not np.isfinite(array).all():
        raise NotFiniteError(f"Parameter {name!r} must be finite, not {array}.")
    return torch.tensor(array, dtype=dtype)


def _interpolate(value: Tensor, position: FloatArray) -> Tensor:
    if value.ndim == 1:
        return value
    first = np.clip(position.astype(np.int64), 0, max(len(value) - 2, 0))
    share = torch.as_tensor(position - first, dtype=value.dtype)[:, None]
    after = np.minimum(first + 1, len(value) - 1)
    return value[torch.as_tensor(first)] * (1.0 - share) + value[torch.as_tensor(after)] * share
