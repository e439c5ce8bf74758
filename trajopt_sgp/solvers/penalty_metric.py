"""The curvature that the penalties of an augmented Lagrangian add, for solvers that precondition with it."""

import torch
from torch import Tensor

from trajopt_sgp.solvers.augmented_lagrangian import AugmentedLagrangian
from trajopt_sgp.solvers.batch import ProgramBatch

_MOST_VARIABLES = 1500
_LEAST_CURVATURE, _MOST_CURVATURE = 1e-3, 1e3


class PenaltyMetric:
    """M = s I + r J'J for each of P programs, with the penalty r, the Jacobian J of the rows that act, and s for the
    curvature of everything else.

    Its inverse as first guess of a quasi-Newton method leaves to that only what the penalties do not explain, so that
    large ones do no harm (Conn, Gould and Toint 1992 do the same with a factorisation). M is dense; where there are too
    many variables for that, or no rows, it is left out.

    Args:
        batch: the programs.
        lagrangian: their penalties.
    """

    def __init__(self, batch: ProgramBatch, lagrangian: AugmentedLagrangian) -> None:
        self._batch, self._lagrangian = batch, lagrangian
        size = batch.guess.shape[-1]
        self.active = len(batch.row_lower) > 0 and size <= _MOST_VARIABLES
        if self.active:
            self._products = batch.guess.new_zeros((batch.count, size, size))
            self._rest = batch.guess.new_ones(batch.count)

    def refresh(self, members: Tensor, points: Tensor, rows: Tensor) -> None:
        """Take the Jacobians of some programs at points `(p, size)` with rows `(p, R)`."""
        acting = (self._lagrangian.estimate(rows, members) != 0.0) | (self._batch.row_lower == self._batch.row_upper)
        for k, member in enumerate(members.tolist()):
            jacobian = self._batch.jacobian(points[k], member) * acting[k][:, None]
            self._products[member] = jacobian.T @ jacobian

    def observe(self, members: Tensor, steps: Tensor, changes: Tensor) -> None:
        """Estimate s from steps and changes of the gradient, `(p, size)` each."""
        penalised = self._lagrangian.penalty[members, 0] * (
            steps * (self._products[members] @ steps[..., None])[..., 0]
        ).sum(-1)
        rest = ((steps * changes).sum(-1) - penalised) / steps.square().sum(-1)
        rest = rest.clamp(_LEAST_CURVATURE, _MOST_CURVATURE)
        self._rest[members] = torch.where(torch.isfinite(rest), rest, self._rest[members])

    def solve(self, members: Tensor, vectors: Tensor, free: Tensor) -> Tensor:
        """Return M^-1 v on the free variables, `(p, size)`; v / s where M is not positive definite in its precision."""
        penalty, rest = self._lagrangian.penalty[members][..., None], self._rest[members][:, None]
        matrix = penalty * self._products[members] * (free[:, :, None] & free[:, None, :])
        # rounding in single precision is more than the rest where the penalty is large
        matrix = matrix.double() + torch.diag_embed(rest.expand_as(vectors)).double()
        factor, failed = torch.linalg.cholesky_ex(matrix)
        solved = torch.cholesky_solve(vectors[..., None].double(), factor)[..., 0]
        return torch.where(failed[:, None] == 0, solved.to(vectors), vectors / rest)
