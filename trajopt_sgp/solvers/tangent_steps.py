"""Steps along the surface on which equations hold, for solvers that follow gradients."""

import torch
from torch import Tensor

from trajopt_sgp.solvers.batch import ProgramBatch

_MOST_ROWS = 1000
_REFRESH = 3
_LONGEST_CORRECTION = 0.2
_PASSES = 3
_REGULAR = {torch.float32: 1e-5, torch.float64: 1e-9}


class TangentSteps:
    """Equations of P programs, of which steps keep the linearisation, violations of it corrected on the way.

    A gradient loses its part across the surface: it becomes that of the Lagrangian, with the multipliers of least
    squares. Where a step leads is moved to the nearest point that meets the linearised equations within the bounds, the
    active ones found in a few passes. Jacobians are dense and taken anew every few iterations; where there are too many
    rows for that, there are no equations here.

    Args:
        batch: the programs.

    Source: J. B. Rosen, The gradient projection method for nonlinear programming II, J. SIAM 9 (1961).
    """

    equations: Tensor
    """Which rows are equations that are kept here, `(R,)`."""
    multipliers: Tensor
    """Of the equations, `(P, E)`."""

    def __init__(self, batch: ProgramBatch) -> None:
        self._batch, size = batch, batch.guess.shape[-1]
        equal = batch.row_lower == batch.row_upper
        self.equations = equal & bool(equal.sum() <= _MOST_ROWS)
        count = int(self.equations.sum())
        self.multipliers = batch.guess.new_zeros((batch.count, count))
        self._jacobian = batch.guess.new_zeros((batch.count, count, size))
        self._free = batch.lower < batch.upper
        self._age = 0

    @property
    def active(self) -> bool:
        """Whether there are any equations."""
        return self.multipliers.shape[-1] > 0

    def refresh(self, variables: Tensor, live: Tensor) -> None:
        """Take the Jacobians of the programs `live` `(P,)` at `(P, size)`, if those there are have become old."""
        if self._age % _REFRESH == 0:
            for k in live.nonzero()[:, 0].tolist():
                jacobian = self._batch.jacobian(variables[k].detach(), k)[self.equations]
                if torch.isfinite(jacobian).all():
                    self._jacobian[k] = jacobian
        self._age += 1

    def tangent(self, gradient: Tensor, live: Tensor) -> Tensor:
        """Return the gradients of the Lagrangian for those of the objective, `(P, size)`, where `live` `(P,)`."""
        multipliers = -self._solve((self._jacobian @ (gradient * self._free)[..., None])[..., 0])
        self.multipliers = torch.where(live[:, None], multipliers, self.multipliers)
        return gradient + (self.multipliers[:, None] @ self._jacobian)[:, 0]

    def land(self, before: Tensor, aim: Tensor, rows: Tensor) -> Tensor:
        """Return the points near `aim` that meet the equations, linear from `before` with rows `(P, R)`."""
        excess = (rows - self._batch.row_lower)[:, self.equations]
        self._free = self._batch.lower < self._batch.upper
        aim = self._batch.project(aim)
        point = aim
        for _ in range(_PASSES):
            left = excess + (self._jacobian @ (aim - before)[..., None])[..., 0]
            push = -(self._solve(left)[:, None] @ self._jacobian)[:, 0] * self._free
            longest = push.abs().amax(-1, keepdim=True)
            point = aim + push * (_LONGEST_CORRECTION / longest).clamp_max(1.0)
            inside = self._batch.project(point)
            outside = (inside != point) & self._free
            if not outside.any():
                break
            # what is pushed out of its bounds stays on them, and the others make up for it
            aim = torch.where(outside, inside, aim)
            self._free = self._free & ~outside
        return self._batch.project(point)

    def _solve(self, values: Tensor) -> Tensor:
        """Return (J J')^-1 v, of the free variables, `(P, E)`; zero where that cannot be computed."""
        free = self._jacobian * self._free[:, None]
        matrix = free @ free.transpose(-1, -2)
        size = matrix.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(1e-6)
        regular = _REGULAR.get(values.dtype, 1e-5) * size
        matrix.diagonal(dim1=-2, dim2=-1).add_(regular[:, None])
        factor, failed = torch.linalg.cholesky_ex(matrix)
        solved = torch.cholesky_solve(values[..., None], factor)[..., 0]
        return torch.where(failed[:, None] == 0, solved, 0.0)
