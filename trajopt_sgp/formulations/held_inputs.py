"""What drives the intervals of a plan whose controls are held: a linear function of its variables."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.problem.time_grid import TimeGrid

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeldInputs:
    """Control, duration [s] and parameters of the dynamics of each interval, in one row: `(P, N, q)`."""

    grid: TimeGrid
    """The intervals."""
    controls: IntArray
    """Variables that are controls, `(N, m)`."""
    duration: int | None
    """The variable that is the duration of the plan, where it is free."""
    scale: NDArray[np.float64]
    """Units of all variables of the transcription."""
    names: tuple[str, ...]
    """The parameters that the dynamics take."""

    def __call__(self, full: Tensor, parameters: Parameters) -> Tensor:
        """Return the inputs `(P, N, q)` from scaled variables `(P, size)`, differentiable."""
        controls = full[:, self._places] * self._units.to(full.dtype)
        spans = self._shares.to(full.dtype).expand(len(full), -1)
        if self.duration is not None:
            spans = spans * full[:, self.duration, None]
        local = parameters.local(np.arange(len(self.controls), dtype=np.float64)) if self.names else parameters
        extra = [local.values[name].to(full.dtype).expand(*controls.shape[:-1], -1) for name in self.names]
        return torch.cat([controls, spans[..., None], *extra], dim=-1)

    def pull_back(self, by_inputs: Tensor, by_full: Tensor) -> Tensor:
        """Return a gradient by the variables `(P, size)` with the part added that comes from one by the inputs."""
        dtype, m = by_full.dtype, self.controls.shape[1]
        by_controls = (by_inputs[..., :m] * self._units.to(dtype)).flatten(1)
        total = by_full.index_add(1, self._places.flatten(), by_controls)
        if self.duration is not None:
            total[:, self.duration] += by_inputs[..., m] @ self._shares.to(dtype)
        return total

    @cached_property
    def _places(self) -> Tensor:
        return torch.as_tensor(self.controls)

    @cached_property
    def _units(self) -> Tensor:
        return torch.as_tensor(self.scale[self.controls])

    @cached_property
    def _shares(self) -> Tensor:
        """The durations of the intervals, or what they are for each unit of the variable that is the duration."""
        unit = self.grid.duration if self.duration is None else self.scale[self.duration]
        return torch.as_tensor(self.grid.shares * unit)
