"""Constraints for solvers that minimise without constraints: the augmented Lagrangian, for a batch of programs.

Source: J. Nocedal and S. J. Wright, Numerical Optimization, chapter 17; two-sided rows as in D. P. Bertsekas,
Constrained Optimization and Lagrange Multiplier Methods (1982), section 3.1.
"""

import torch
from torch import Tensor

_ENOUGH = 0.25
_GROWTH = 5.0
_LARGEST_PENALTY = 1e7


class AugmentedLagrangian:
    """Multipliers and penalties of P programs with R scaled rows each.

    Args:
        lower: bounds of the rows, `(R,)`.
        upper: bounds of the rows, `(R,)`.
        count: number of programs P.
        penalty: first penalty parameter.
    """

    multipliers: Tensor
    """`(P, R)`; positive where an upper bound pushes."""
    penalty: Tensor
    """`(P, 1)`."""

    def __init__(self, lower: Tensor, upper: Tensor, count: int, penalty: float = 10.0) -> None:
        self.lower, self.upper = lower, upper
        self.multipliers = lower.new_zeros((count, len(lower)))
        self.penalty = lower.new_full((count, 1), penalty)
        self._before = lower.new_full((count,), torch.inf)

    def term(self, rows: Tensor) -> Tensor:
        """Return what is added to the objective for rows `(P, R)`: `(P,)`, differentiable."""
        excess = self._excess(rows)
        return (0.5 * self.penalty * excess.square() - 0.5 * self.multipliers.square() / self.penalty).sum(-1)

    def violation(self, rows: Tensor) -> Tensor:
        """Return the largest violation of each program, `(P,)`."""
        if not len(self.lower):
            return rows.new_zeros(len(rows))
        return torch.maximum(self.lower - rows, rows - self.upper).clamp_min(0.0).amax(-1)

    def update(self, rows: Tensor) -> None:
        """Move the multipliers to those that explain the violations, and raise penalties that have not helped."""
        violation = self.violation(rows)
        self.multipliers = (self.penalty * self._excess(rows)).detach()
        stuck = (violation > _ENOUGH * self._before)[:, None]
        self.penalty = torch.where(stuck, (_GROWTH * self.penalty).clamp_max(_LARGEST_PENALTY), self.penalty)
        self._before = torch.minimum(violation, self._before).detach()

    def _excess(self, rows: Tensor) -> Tensor:
        shifted = rows + self.multipliers / self.penalty
        return shifted - torch.minimum(torch.maximum(shifted, self.lower), self.upper)
