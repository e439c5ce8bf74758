"""What runs a plant, one control a step."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.problem import OptimalControlProblem

FloatArray = NDArray[np.float64]


@runtime_checkable
class Controller(Protocol):
    """What runs a plant: `MPC`, or a policy that a solver has found."""

    @property
    def problem(self) -> OptimalControlProblem:
        """What it was made for; its time step is that of the controller."""
        ...

    def reset(self) -> None:
        """Begin a new episode."""
        ...

    def step(self, state: ArrayLike) -> FloatArray:
        """Return the control `(m,)` for a state `(n,)`, or `(B, m)` for `(B, n)`."""
        ...
