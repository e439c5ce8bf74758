"""Functions of a term at fixed places along the plan, where time-varying parameters have their own values."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Localized:
    """z `(..., K, d)` and parameters to the function's value, varying parameters taken at the K places."""

    function: Callable[[Tensor, Parameters], Tensor]
    """Sees parameters whose varying values are `(K, k)`, or `(K, 2k)` with both ends."""
    position: FloatArray
    """Places counted in intervals, `(K,)`."""
    both_ends: bool = False
    """Whether the values are taken at the places and, after them, one interval later."""

    def __call__(self, z: Tensor, parameters: Parameters) -> Tensor:
        """Return the value of the function."""
        return self.function(z, self.local(parameters))

    def local(self, parameters: Parameters) -> Parameters:
        """Return the parameters that the function sees."""
        return parameters.ends(self.position) if self.both_ends else parameters.local(self.position)
