"""What runs a plant, one control a step."""

from typing import Protocol, runtime_checkable

from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import OptimalControlProblem


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
