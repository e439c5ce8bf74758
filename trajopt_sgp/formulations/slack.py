"""Slack of soft constraints: the variables by which their rows may be violated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import IntArray
from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm
from trajopt_sgp.formulations.excess import tensor_excess


def set_slack(full: Tensor, constraints: Sequence[StageTerm], slack: IntArray, parameters: Parameters) -> Tensor:
    """Return scaled variables `(..., size)` whose slack is by how much the rows are violated, and no more.

    Args:
        full: all variables of a transcription; their slack is ignored.
        constraints: its rows, among them those that the slack is part of.
        slack: places of the slack among the variables.
        parameters: of the program.
    """
    filled = full.clone()
    filled[..., torch.as_tensor(slack)] = 0.0
    for term in constraints:
        part, function = term.linear, term.function
        if part is None or function is None or not np.isin(part.index, slack).all():
            continue
        rows = function(term.gather(full), parameters).to(full.dtype)
        lower, upper, unit = (torch.tensor(v, dtype=full.dtype) for v in (term.lower, term.upper, part.scale))
        needed = tensor_excess(rows, lower, upper).abs() / unit
        index = torch.as_tensor(part.index)
        filled[..., index] = torch.maximum(filled[..., index], needed)
    return filled
