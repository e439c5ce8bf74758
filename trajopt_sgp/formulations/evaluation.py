"""What a program is at a batch of points, for solvers that search batches in torch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """A batch of P points, as solvers see them that search batches."""

    objective: Tensor
    """`(P,)`; its gradient is what first-order solvers follow."""
    merit: Tensor
    """`(P,)`, at the end of annealing schedules, detached: what iterates are compared by."""
    rows: Tensor
    """Scaled constraint rows `(P, row_count)`."""


Weigh = Callable[[Evaluation], Tensor]
"""An evaluation to one number for each program, `(P,)`."""


def recorded(
    evaluate: Callable[[Tensor], Evaluation], variables: Tensor, weigh: Weigh | None
) -> tuple[Evaluation, Tensor]:
    """Return an evaluation and the gradient of its objective, or of what is made of it, by recording the evaluation."""
    point = variables.detach().requires_grad_(True)
    with torch.enable_grad():
        found = evaluate(point)
        total = found.objective if weigh is None else weigh(found)
    (gradient,) = torch.autograd.grad(total.sum(), point)
    return Evaluation(found.objective.detach(), found.merit, found.rows.detach()), gradient
