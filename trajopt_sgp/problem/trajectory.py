"""States and controls at the knots of a plan."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """States and controls at the knots; leading dimensions, if any, are a batch.

    Raises:
        ShapeError: states and controls do not fit together.
    """

    states: FloatArray
    """`(..., N+1, n)`."""
    controls: FloatArray
    """`(..., N, m)`."""
    time_step: float = 1.0
    """Duration of one interval [s]."""

    def __post_init__(self) -> None:
        for name in ("states", "controls"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        states, controls = self.states.shape, self.controls.shape
        if len(states) < 2 or len(states) != len(controls) or states[:-2] != controls[:-2]:
            raise ShapeError(
                f"A trajectory needs states (..., N+1, n) and controls (..., N, m), not {states}, {controls}."
            )
        if states[-2] != controls[-2] + 1:
            raise ShapeError(f"A trajectory has one state more than controls, not {states[-2]} and {controls[-2]}.")

    @property
    def horizon(self) -> int:
        """Number of intervals N."""
        return int(self.controls.shape[-2])

    @property
    def times(self) -> FloatArray:
        """Time of each knot `(N+1,)` [s]."""
        return self.time_step * np.arange(self.horizon + 1, dtype=np.float64)

    def check_finite(self, name: str) -> "Trajectory":
        """Return the trajectory itself if every number is finite, else say where it is not.

        Raises:
            NotFiniteError: names array and knot.
        """
        for kind, array in (("state", self.states), ("control", self.controls)):
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                raise NotFiniteError(f"The {name} is not finite: {kind}[{bad[0][-1]}] at knot {bad[0][-2]}.")
        return self

    def shift(self, steps: int = 1) -> "Trajectory":
        """Drop the first `steps` intervals and repeat the last control and state, for the next solve of an MPC.

        Raises:
            OptionError: `steps` is negative or more than there are.
        """
        if not 0 <= steps <= self.horizon:
            raise OptionError(f"steps = {steps}: a trajectory of {self.horizon} intervals can be shifted by 0 to that.")
        states = np.concatenate([self.states[..., steps:, :], self.states[..., -1:, :].repeat(steps, axis=-2)], axis=-2)
        controls = np.concatenate(
            [self.controls[..., steps:, :], self.controls[..., -1:, :].repeat(steps, axis=-2)], axis=-2
        )
        return replace(self, states=states, controls=controls)

    def select(self, index: ArrayLike | int) -> "Trajectory":
        """Return one member, or a part, of a batch of trajectories."""
        chosen = np.asarray(index)
        return replace(self, states=self.states[chosen], controls=self.controls[chosen])
