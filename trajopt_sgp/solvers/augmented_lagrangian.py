"""Constraints for solvers that minimise without constraints: the augmented Lagrangian, for a batch of programs.

Source: J. Nocedal and S. J. Wright, Numerical Optimization, chapter 17; two-sided rows as in D. P. Bertsekas,
Constrained Optimization and Lagrange Multiplier Methods (1982), section 3.1.
"""

import torch
from torch import Tensor

from trajopt_sgp.formulations.excess import tensor_excess

_ENOUGH = 0.25


class AugmentedLagrangian:
    """Multipliers and penalties of P programs with R scaled rows each.

    With multipliers y and a penalty r, rows c within their bounds B cost r/2 |e|^2 - |y|^2 / 2r, where the excess e is
    what projection onto B takes from c + y/r. The gradient of the augmented objective is then that of the Lagrangian
    with the multipliers r e.

    Args:
        lower: bounds of the rows, `(R,)`.
        upper: bounds of the rows, `(R,)`.
        count: number of programs P.
        penalty: first penalty parameter.
        growth: factor of a penalty that has not helped.
        largest: penalties stay below this.
    """

    multipliers: Tensor
    """`(P, R)`; positive where an upper bound pushes."""
    penalty: Tensor
    """`(P, 1)`."""

    def __init__(
        self,
        lower: Tensor,
        upper: Tensor,
        count: int,
        penalty: float = 10.0,
        growth: float = 5.0,
        largest: float = 1e7,
    ) -> None:
        self.lower, self.upper = lower, upper
        self.multipliers = lower.new_zeros((count, len(lower)))
        self.penalty = lower.new_full((count, 1), penalty)
        self._growth, self._largest = growth, largest
        self._before = lower.new_full((count,), torch.inf)

    def term(self, rows: Tensor, members: Tensor | None = None) -> Tensor:
        """Return what is added to the objective for rows `(p, R)`: `(p,)`, differentiable.

        Args:
            rows: of all programs, or of some.
            members: which programs these are, `(p,)`; all if not given.
        """
        multipliers, penalty = self._of(members)
        excess = self._excess(rows, multipliers, penalty)
        return (0.5 * penalty * excess.square() - 0.5 * multipliers.square() / penalty).sum(-1)

    def residual(self, rows: Tensor, members: Tensor | None = None) -> Tensor:
        """Return the largest violation of feasibility and complementarity of each program, `(p,)`.

        That is the change of a multiplier in an update, divided by the penalty.
        """
        if not len(self.lower):
            return rows.new_zeros(len(rows))
        multipliers, penalty = self._of(members)
        return (self._excess(rows, multipliers, penalty) - multipliers / penalty).abs().amax(-1)

    def estimate(self, rows: Tensor, members: Tensor | None = None) -> Tensor:
        """Return the multipliers `(p, R)` with which the Lagrangian has the gradient of the augmented objective."""
        multipliers, penalty = self._of(members)
        return (penalty * self._excess(rows, multipliers, penalty)).detach()

    def update(self, rows: Tensor, members: Tensor | None = None) -> Tensor:
        """Take over the estimated multipliers, and raise penalties that have not helped.

        Rows that are not finite change nothing. Returns which penalties were raised, `(p,)`.
        """
        index = torch.arange(len(self.penalty)) if members is None else members
        residual, estimate = self.residual(rows, index).detach(), self.estimate(rows, index)
        finite = torch.isfinite(residual)
        stuck = (residual > _ENOUGH * self._before[index]) & finite & (self.penalty[index, 0] < self._largest)
        self.multipliers[index] = torch.where(finite[:, None], estimate, self.multipliers[index])
        raised = (self._growth * self.penalty[index]).clamp_max(self._largest)
        self.penalty[index] = torch.where(stuck[:, None], raised, self.penalty[index])
        self._before[index] = torch.where(finite, torch.minimum(residual, self._before[index]), self._before[index])
        return stuck

    def exhausted(self, rows: Tensor, members: Tensor) -> Tensor:
        """Return where the penalty is as large as it may be and no longer helps, `(p,)`."""
        stuck = self.residual(rows, members) > _ENOUGH * self._before[members]
        return stuck & (self.penalty[members, 0] >= self._largest)

    def ascend(self, rows: Tensor, rate: float, live: Tensor) -> None:
        """Move the multipliers of the programs `live` `(P,)` by a share of an update, given the rows `(P, R)` of all.

        Rows that are not finite change nothing.
        """
        change = self.estimate(rows) - self.multipliers
        moves = torch.isfinite(change) & live[:, None]
        self.multipliers = self.multipliers + rate * torch.where(moves, change, 0.0)

    def _of(self, members: Tensor | None) -> tuple[Tensor, Tensor]:
        if members is None:
            return self.multipliers, self.penalty
        return self.multipliers[members], self.penalty[members]

    def _excess(self, rows: Tensor, multipliers: Tensor, penalty: Tensor) -> Tensor:
        return tensor_excess(rows + multipliers / penalty, self.lower, self.upper)
