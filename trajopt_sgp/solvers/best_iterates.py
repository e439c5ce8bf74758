"""The best iterate so far of every program of a batch."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Outcome
from trajopt_sgp.solvers.batch import IterationLog, ProgramBatch


class BestIterates:
    """Keeps for each of P programs the feasible iterate of least merit, or failing that the least violated one.

    Args:
        variables: the first iterates `(P, size)`.
        feasibility: largest violation that counts as feasible.
    """

    variables: Tensor
    """`(P, size)`."""
    merit: Tensor
    """`(P,)`; infinite where nothing finite has been seen."""
    violation: Tensor
    """`(P,)`."""

    def __init__(self, variables: Tensor, feasibility: float) -> None:
        self.variables = variables.detach().clone()
        self.merit = torch.full((len(variables),), math.inf, dtype=variables.dtype)
        self.violation = torch.full_like(self.merit, math.inf)
        self.far = torch.zeros(len(variables), dtype=torch.bool)
        """Whether the variables must move far to meet rows that are flat there, `(P,)`."""
        self._feasibility = feasibility

    @property
    def feasible(self) -> Tensor:
        """Which programs have a feasible iterate, `(P,)`."""
        return self.violation <= self._feasibility

    @torch.no_grad()
    def keep(self, variables: Tensor, merit: Tensor, violation: Tensor, live: Tensor | None = None) -> Tensor:
        """Take over iterates that are better, where `live` `(P,)` allows it; return which were, `(P,)`."""
        feasible = violation <= self._feasibility
        better = torch.where(self.feasible, feasible & (merit < self.merit), feasible | (violation < self.violation))
        better &= torch.isfinite(merit) & torch.isfinite(violation)
        if live is not None:
            better &= live
        self.variables[better] = variables.detach()[better]
        self.merit = torch.where(better, merit.detach(), self.merit)
        self.violation = torch.where(better, violation.detach(), self.violation)
        return better

    def keep_some(self, members: Tensor, variables: Tensor, merit: Tensor, violation: Tensor) -> None:
        """Take over iterates `(p, size)` of the programs `members` `(p,)` that are better."""
        everything, merits, violations = self.variables.clone(), self.merit.clone(), self.violation.clone()
        everything[members], merits[members], violations[members] = variables.detach(), merit, violation
        live = torch.zeros(len(merits), dtype=torch.bool)
        live[members] = True
        self.keep(everything, merits, violations, live)

    @torch.no_grad()
    def put(self, where: Tensor, variables: Tensor, merit: Tensor, violation: Tensor) -> None:
        """Take over iterates of all programs where `where` `(P,)`, better or not."""
        self.variables[where] = variables[where]
        self.merit = torch.where(where, merit, self.merit)
        self.violation = torch.where(where, violation, self.violation)

    def judge(self, batch: ProgramBatch) -> None:
        """Find which of the iterates only seem to meet the rows, as these are flat there and steep at their scale."""
        self.far = batch.far_from_rows(self.variables, self._feasibility)

    def status(self, program: int, ended: Status) -> Status:
        """Return how a program ended, given how its solver did."""
        if not math.isfinite(float(self.merit[program])):
            return Status.NOT_FINITE
        if ended is Status.CONVERGED and not bool(self.feasible[program]):
            return Status.INFEASIBLE
        if ended.ok and bool(self.far[program]):
            return Status.FAILED
        return ended

    def rank(self, program: int) -> float:
        """Return the number by which starts are compared: the merit, infinite where nothing feasible was found."""
        return float(self.merit[program]) if bool(self.feasible[program] & ~self.far[program]) else math.inf

    def outcomes(
        self,
        batch: ProgramBatch,
        ended: Sequence[Status],
        log: IterationLog,
        multipliers: Sequence[Mapping[str, FloatArray]] = (),
    ) -> list[Outcome]:
        """Return the outcome of every program.

        Args:
            batch: the programs.
            ended: how the solver of each program ended.
            log: of all iterations.
            multipliers: of each program, or none.
        """
        logs, variables = log.of_programs(), batch.within_bounds(self.variables)
        return [
            Outcome(
                variables=variables[p],
                status=self.status(p, own),
                iterations=len(logs[p]),
                merit=self.rank(p),
                multipliers=multipliers[p] if multipliers else {},
                seconds={"solver": batch.limits.seconds},
                log=logs[p],
            )
            for p, own in enumerate(ended)
        ]
