"""How fast controls change: the variables of each change, what it costs and how it is limited."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.stage_term import Parameters, TermFunction
from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.problem import ControlRateCost
from trajopt_sgp.problem.boundary import make_unit


class ControlRates:
    """The changes between all controls of a layout, in order of time.

    The first control follows the one that was applied before the plan; without that it follows itself. A control that
    is held over several intervals changes within the last of them.

    Args:
        layout: where the controls are among the variables.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout, self.problem = layout, layout.problem
        controls, self._times = layout.control_sequence()
        grid = self.problem.grid
        knots = np.searchsorted(grid.mesh, self._times + 1e-12, side="right") - 1
        self.index: IntArray = np.hstack([np.concatenate([controls[:1], controls[:-1]]), controls])
        """Variables of the control before each change and of the one after it, `(K, 2m)`."""
        self.shares = np.concatenate([grid.shares[:1], np.diff(self._times)])
        """Time of each change as a share of the duration, `(K,)`."""
        if self.problem.move_blocks is not None:
            self.shares[1:] = grid.shares[knots[1:] - 1]
        self.knots: IntArray = np.concatenate([[0], knots[1:]])
        """Knot of each change, `(K,)`."""

    @property
    def position(self) -> FloatArray:
        """Place of each change, counted in intervals, `(K,)`."""
        return self.knots.astype(np.float64)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What tells the changes at one knot apart."""
        seen: dict[int, int] = {}
        labels = []
        for knot in self.knots.tolist():
            seen[knot] = seen.get(knot, -1) + 1
            labels.append(f"change {seen[knot]}" if seen[knot] else "")
        return tuple(labels)

    def cost(self, term: ControlRateCost) -> TermFunction:
        """Return the cost of each change, `(..., K, 2m) -> (..., K)`."""
        unit = torch.tensor(make_unit(f"scale of {term.name!r}", term.scale, self.problem.control_size))
        counts = torch.tensor(self._weights())

        def cost(z: Tensor, parameters: Parameters) -> Tensor:
            changes = self._change(z, parameters) / unit.to(z.dtype)
            priced: Tensor = term.weight_at(parameters) * counts.to(z.dtype) * changes.square().sum(-1)
            return priced

        return cost

    def rows(self, lower: FloatArray, upper: FloatArray) -> TermFunction:
        """Return the rates of change, between limits `(m,)`, of changes and duration, `(..., K, m)`."""
        m = self.problem.control_size
        spans, allowed = torch.tensor(self.shares), torch.tensor(np.clip(0.0, lower, upper))

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            seconds = spans.to(z.dtype) * self.layout.duration_from(z[..., 2 * m :])
            rates = self._change(z, parameters) / seconds[..., None]
            if parameters.previous_control is None:
                # nothing is known of a change to the first control: it is whatever is allowed
                return torch.cat([rates[..., :1, :] + allowed.to(z.dtype), rates[..., 1:, :]], dim=-2)
            return rates

        return rows

    def _change(self, z: Tensor, parameters: Parameters) -> Tensor:
        """Return by how much each control differs from the one before it, `(..., K, m)`."""
        m = self.problem.control_size
        before, after = z[..., :m], z[..., m : 2 * m]
        if parameters.previous_control is not None:
            start = after[..., :1, :] - parameters.previous_control
            return torch.cat([start, (after - before)[..., 1:, :]], dim=-2)
        return after - before

    def _weights(self) -> FloatArray:
        """Return what the square of each change counts `(K,)`: as one from interval to interval at the same rate."""
        horizon = self.problem.horizon
        if self.problem.move_blocks is not None:
            return np.ones(len(self._times))
        steps = np.diff(np.interp(self._times, self.problem.grid.mesh, np.arange(horizon + 1.0)))
        # as many changes as from interval to interval, however far apart the first and the last control are
        return np.concatenate([[1.0], max(horizon - 1, 1) / (steps * steps.sum())])
