"""Stage terms: the form in which every formulation hands its functions to the solvers.

A term is a batched function phi(z_k; p) and an index map that says which decision variables form z_k for each of its
K instances. Letters: K instances, d variables of an instance, r rows of a constraint, P programs of a batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.problem.parameters import Parameters as Parameters

TermFunction = Callable[[Tensor, Parameters], Tensor]
"""z `(..., K, d)` and parameters to a cost `(..., K)` or to constraint rows `(..., K, r)`."""


@dataclass(frozen=True, eq=False)
class LinearPart:
    """A constant linear function of decision variables that is added to the rows of a constraint.

    It is never differentiated: rows_k += row_scale * matrix_k @ (scale * w[index_k]).
    """

    matrix: FloatArray
    """`(r, e)`, or `(K, r, e)` where instances differ."""
    index: IntArray
    """Decision variables, `(K, e)`."""
    scale: FloatArray
    """Their units, `(e,)`."""

    def entries(self) -> tuple[FloatArray, IntArray, IntArray]:
        """Return the nonzero entries `(K, k)` with their rows `(k,)` and columns `(k,)` in an instance, unscaled."""
        matrices = np.broadcast_to(self.matrix, (len(self.index), *self.matrix.shape[-2:]))
        rows, columns = np.nonzero((matrices != 0.0).any(axis=0))
        return matrices[:, rows, columns] * self.scale[columns], rows, columns

    def rows(self, variables: FloatArray) -> FloatArray:
        """Return matrix_k @ (scale * w[index_k]), `(K, r)`."""
        values = self.scale * variables[self.index]
        if self.matrix.ndim == 2:
            return values @ self.matrix.T  # one product, not one for each instance
        product: FloatArray = (self.matrix @ values[..., None])[..., 0]
        return product

    def torch_rows(self, variables: Tensor) -> Tensor:
        """Return the same for a batch of variables `(..., size)`: `(..., K, r)`."""
        values = variables[..., torch.as_tensor(self.index)] * torch.as_tensor(self.scale, dtype=variables.dtype)
        matrix = torch.as_tensor(self.matrix, dtype=variables.dtype)
        return values @ matrix.T if matrix.ndim == 2 else (matrix @ values[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class StageTerm:
    """A cost or a constraint that repeats over the knots.

    Decision variables are scaled: z_k = scale * w[index_k]. The rows of a constraint are row_scale * (phi(z_k) + linear
    part).
    """

    name: str
    """For messages."""
    function: TermFunction | None
    """phi, in the units of the problem; None for a constraint that is linear."""
    index: IntArray
    """Decision variables of each instance, `(K, d)`."""
    scale: FloatArray
    """Units of the variables of an instance, `(d,)`."""
    knots: IntArray
    """Knot of each instance, `(K,)`, for messages."""
    labels: tuple[str, ...] = ()
    """What tells instances of one knot apart, one text for each, for messages; none where each has its own knot."""
    merit: TermFunction | None = None
    """What iterates are compared by, where the value of a cost has no meaning."""
    numbers: Callable[[Parameters], Mapping[str, float]] | None = None
    """Weights and noise levels of a cost by name, which may change between solves."""
    annealed: bool = False
    """Whether a cost changes with the progress of the solver."""
    whole_plan: bool = False
    """Whether its one instance holds the whole plan: too much for closed forms, so that autograd differentiates it."""
    residual: TermFunction | None = None
    """r `(..., K, k)` where a cost is half its squared length."""
    row_names: tuple[str, ...] = ()
    """Names of the rows; empty for a cost."""
    row_scale: FloatArray = field(default_factory=lambda: np.ones(0))
    """Factor of each row, `(r,)`."""
    lower: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Lower bounds of the unscaled rows, `(r,)`."""
    upper: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Upper bounds of the unscaled rows, `(r,)`."""
    linear: LinearPart | None = None
    """Added to the rows."""

    @property
    def instances(self) -> int:
        """Number of instances K."""
        return len(self.knots)

    @property
    def rows(self) -> int:
        """Number of rows r of an instance; 0 for a cost."""
        return len(self.row_names)

    def row_name(self, instance: int, row: int) -> tuple[str, int]:
        """Return the name and the knot of a row."""
        label = f", {self.labels[instance]}" if self.labels and self.labels[instance] else ""
        return f"{self.name}[{self.row_names[row]}{label}]", int(self.knots[instance])

    def gather(self, variables: Tensor) -> Tensor:
        """Return z `(..., K, d)` in the units of the problem from scaled variables `(..., size)`."""
        scale = torch.as_tensor(self.scale, dtype=variables.dtype)
        return variables[..., torch.as_tensor(self.index)] * scale

    def cost(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the sum over the instances of a cost, `(..., size) -> (...)`."""
        if self.function is None:
            raise ValueError(f"the term {self.name!r} is no cost")
        return self.function(self.gather(variables), parameters).sum(-1)

    def merit_cost(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the sum over the instances of what iterates are compared by."""
        function = self.merit or self.function
        if function is None:
            raise ValueError(f"the term {self.name!r} is no cost")
        return function(self.gather(variables), parameters).sum(-1)

    def scaled_rows(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the scaled rows of all instances, `(..., size) -> (..., K * r)`."""
        parts = [] if self.function is None else [self.function(self.gather(variables), parameters)]
        parts += [] if self.linear is None else [self.linear.torch_rows(variables)]
        return (torch.as_tensor(self.row_scale, dtype=variables.dtype) * sum(parts)).flatten(-2)
