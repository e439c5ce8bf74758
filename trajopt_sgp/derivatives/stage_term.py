"""Stage terms: the form in which every formulation hands its functions to the solvers.

A term is a batched function phi(z_k; p) and an index map that says which decision variables form z_k for each of its
K instances. Letters: K instances, d variables of an instance, r rows of a constraint, P programs of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Parameters:
    """What may change between two solves of one program without rebuilding it."""

    initial_state: Tensor
    """x_0, `(n,)`, or `(P, n)` for a batch of programs."""
    progress: float = 0.0
    """Place on the annealing schedule of the distances to data, in [0, 1]."""


TermFunction = Callable[[Tensor, Parameters], Tensor]
"""z `(..., d)` and parameters to a cost `(...)` or to constraint rows `(..., r)`."""


@dataclass(frozen=True, eq=False)
class StageTerm:
    """A cost or a constraint that repeats over the knots.

    Decision variables are scaled: z_k = scale * w[index_k]. A constraint may have a linear part, which is constant and
    never differentiated: rows_k = row_scale * (phi(z_k) + linear @ (linear_scale * w[linear_index_k])).
    """

    name: str
    """For messages."""
    function: TermFunction
    """phi, in the units of the problem."""
    index: IntArray
    """Decision variables of each instance, `(K, d)`."""
    scale: FloatArray
    """Units of the variables of an instance, `(d,)`."""
    knots: IntArray
    """Knot of each instance, `(K,)`, for messages."""
    row_names: tuple[str, ...] = ()
    """Names of the rows; empty for a cost."""
    row_knots: IntArray | None = None
    """Knot of each row `(r,)`, where one instance spans several knots."""
    row_scale: FloatArray = field(default_factory=lambda: np.ones(0))
    """Factor of each row, `(r,)`."""
    lower: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Lower bounds of the unscaled rows, `(r,)`."""
    upper: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Upper bounds of the unscaled rows, `(r,)`."""
    linear: FloatArray | None = None
    """Linear part, `(r, e)`."""
    linear_index: IntArray | None = None
    """Decision variables of the linear part, `(K, e)`."""
    linear_scale: FloatArray | None = None
    """Units of the variables of the linear part, `(e,)`."""

    @property
    def instances(self) -> int:
        """Number of instances K."""
        return len(self.index)

    @property
    def rows(self) -> int:
        """Number of rows r of an instance; 0 for a cost."""
        return len(self.row_names)

    def row_name(self, instance: int, row: int) -> tuple[str, int]:
        """Return the name and the knot of a row."""
        knot = self.knots[instance] if self.row_knots is None else self.row_knots[row]
        return f"{self.name}[{self.row_names[row]}]", int(knot)

    def gather(self, variables: Tensor) -> Tensor:
        """Return z `(..., K, d)` in the units of the problem from scaled variables `(..., size)`."""
        scale = torch.as_tensor(self.scale, dtype=variables.dtype)
        return variables[..., torch.as_tensor(self.index)] * scale
