"""What drives the intervals of a plan whose controls are held: a linear function of its variables."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from trajopt_sgp.arrays import AnyArray, FloatArray, IntArray
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.problem.time_grid import TimeGrid


@dataclass(frozen=True, eq=False)
class HeldInputs:
    """Control, duration [s] and parameters of the dynamics at both ends of each interval, in one row: `(P, N, q)`."""

    grid: TimeGrid
    """The intervals."""
    controls: IntArray
    """Variables that are controls, `(N, m)`."""
    duration: int | None
    """The variable that is the duration of the plan, where it is free."""
    scale: FloatArray
    """Units of all variables of the transcription."""
    names: tuple[str, ...]
    """The parameters that the dynamics take."""

    def __call__(self, full: AnyArray, parameters: Parameters) -> AnyArray:
        """Return the inputs `(P, N, q)` from scaled variables `(P, size)`."""
        (horizon, m), units = self.controls.shape, self._units(full.dtype)
        knots = np.arange(horizon, dtype=np.float64)
        ends = [parameters.local(knots), parameters.local(knots + 1.0)] if self.names else []
        extra = [each.values[name].numpy() for name in self.names for each in ends]
        inputs = np.empty((len(full), horizon, m + 1 + sum(value.shape[-1] for value in extra)), full.dtype)
        np.multiply(full.take(self.controls, axis=1), units.controls, out=inputs[..., :m])
        inputs[..., m] = units.shares if self.duration is None else units.shares * full[:, self.duration, None]
        begin = m + 1
        for value in extra:
            inputs[..., begin : begin + value.shape[-1]] = value
            begin += value.shape[-1]
        return inputs

    def pull_back(self, by_inputs: AnyArray, by_full: AnyArray) -> None:
        """Add to a gradient by the variables `(P, size)` the part that comes from one by the inputs `(P, N, q)`."""
        units, m = self._units(by_full.dtype), self.controls.shape[1]
        by_controls = by_inputs[..., :m] * units.controls
        if self._distinct:
            by_full[:, self.controls] += by_controls
        else:
            np.add.at(by_full.T, self.controls.ravel(), by_controls.reshape(len(by_full), -1).T)
        if self.duration is not None:
            by_full[:, self.duration] += by_inputs[..., m] @ units.shares

    def _units(self, dtype: Any) -> "_Units":
        return self._double if dtype == np.float64 else self._single

    @cached_property
    def _double(self) -> "_Units":
        unit = self.grid.duration if self.duration is None else self.scale[self.duration]
        return _Units(self.scale[self.controls], self.grid.shares * unit)

    @cached_property
    def _single(self) -> "_Units":
        return _Units(*(part.astype(np.float32) for part in self._double))

    @cached_property
    def _distinct(self) -> bool:
        """Whether no two intervals share a control."""
        return len(np.unique(self.controls)) == self.controls.size


class _Units(NamedTuple):
    """What variables are multiplied by, in their precision."""

    controls: AnyArray
    """Of the controls, `(N, m)`."""
    shares: AnyArray
    """Durations of the intervals, or what they are for each unit of the variable that is the duration, `(N,)`."""
