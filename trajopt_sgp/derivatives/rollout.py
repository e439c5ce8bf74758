"""Rolling a discrete model out: one step after another in PyTorch, or compiled, with a compiled adjoint."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.derivatives.generic import differentiate
from trajopt_sgp.derivatives.probes import ROWS_AT_ONCE
from trajopt_sgp.derivatives.traced.unsupported import FAILURES

Step = Callable[[Tensor, Tensor], Tensor]
"""State `(..., n)` and control `(..., m)` to the next state `(..., n)`."""

"""Numbers in single or double precision."""

PullBack = Callable[[AnyArray], tuple[AnyArray, AnyArray]]
"""Gradient by states `(P, N+1, n)` to those by controls `(P, N, m)` and initial states `(P, n)`."""

# Up to this batch the overhead of recording every step costs more than the arithmetic of full Jacobians.
_ADJOINT_LIMIT = 12
# Full Jacobians cost as many backward passes as there are states: of pictures, a thousand of them.
_WIDEST_STATE = 64
# So many first steps of a batch are compared before it is rolled out.
_EXAMPLES = 16
# A broken or missing Numba.
_NO_COMPILER = (ImportError, OSError)


def roll_out(step: Step, initial_state: Tensor, controls: Tensor) -> Tensor:
    """Return the states `(..., N+1, n)` after controls `(..., N, m)` from `initial_state` `(..., n)`.

    Differentiable any number of times.
    """
    states = [initial_state.expand(*controls.shape[:-2], -1)]
    for control in controls.unbind(-2):
        states.append(step(states[-1], control))
    return torch.stack(states, dim=-2)


def roll_out_once_differentiable(step: Step, initial_state: Tensor, controls: Tensor) -> Tensor:
    """Return what `roll_out` returns, differentiable once; faster for small batches.

    The batch is that of the controls `(P, N, m)`; the initial states are `(P, n)` or `(n,)`.
    """
    if len(controls) > _ADJOINT_LIMIT or initial_state.shape[-1] > _WIDEST_STATE:
        return roll_out(step, initial_state, controls)
    start = initial_state.expand(len(controls), -1)
    states: Tensor = _AdjointRollout.apply(controls, start, step)  # type: ignore[no-untyped-call]
    return states


class Rollout:
    """The rollout of one step, compiled where the step can be traced into operations that are known.

    The first call traces, and compiles what no run before has left on disk. Weights may be written to or replaced
    between calls: the step is traced again then. Whatever else it reads, numbers in Python or weights that are written
    to behind PyTorch's back, is read again after `recheck`.

    Args:
        step: states and controls to the next states; it must treat the rows of a batch alike.
    """

    backend: str = "not rolled out yet"
    """How the last rollout was computed, and why."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._fused: Any = None
        self._refused: Any = None
        self._checked = True

    def __call__(self, initial_state: Tensor, controls: Tensor) -> Tensor:
        """Return states `(P, N+1, n)` from `(P, n)` or `(n,)` under controls `(P, N, m)`, differentiable once."""
        start = initial_state.expand(len(controls), -1)
        if controls.numel() and self._ready(start, controls):
            states: Tensor = self._fused(start, controls)
            return states
        return roll_out_once_differentiable(self._step, start, controls)

    def recheck(self) -> None:
        """Compare the compiled step with the step itself before it is used again."""
        self._checked = False

    def holds(self, states: AnyArray, controls: AnyArray) -> bool:
        """Return whether the compiled step, if there is one, is the step at the states `(P, N+1, n)` and around."""
        if self._fused is None:
            return True
        before, inputs = (part.reshape(-1, part.shape[-1]) for part in (states[:, :-1], controls))
        if not self._fused.serves_arrays(before, inputs):
            return True
        parts = (slice(first, first + ROWS_AT_ONCE) for first in range(0, len(before), ROWS_AT_ONCE))
        return all(self._fused.agrees(self._step, before[part], inputs[part]) for part in parts)

    def states(self, initial_state: AnyArray, controls: AnyArray) -> AnyArray:
        """Return the same states of arrays `(P, n)` and `(P, N, m)`, not differentiable."""
        start, inputs = torch.from_numpy(initial_state), torch.from_numpy(controls)
        with torch.no_grad():
            return self(start, inputs).numpy()

    def with_adjoint(self, initial_state: AnyArray, controls: AnyArray) -> tuple[AnyArray, PullBack]:
        """Return the same, and what takes a gradient by the states to those by controls and initial states."""
        if self._checked and self._fused is not None and self._fused.serves_arrays(initial_state, controls):
            return self._compiled_with_adjoint(initial_state, controls)
        start, inputs = torch.from_numpy(initial_state), torch.from_numpy(controls)
        if inputs.numel() and self._ready(start, inputs):
            return self._compiled_with_adjoint(initial_state, controls)
        leaves = inputs.requires_grad_(True), start.requires_grad_(True)
        with torch.enable_grad():
            states = roll_out_once_differentiable(self._step, leaves[1], leaves[0])

        def pull_back(gradient: AnyArray) -> tuple[AnyArray, AnyArray]:
            by_controls, by_start = torch.autograd.grad(states, leaves, torch.from_numpy(gradient))
            return by_controls.numpy(), by_start.numpy()

        return states.detach().numpy(), pull_back

    def _compiled_with_adjoint(self, initial_state: AnyArray, controls: AnyArray) -> tuple[AnyArray, PullBack]:
        found: tuple[AnyArray, PullBack] = self._fused.with_adjoint(initial_state, controls)
        return found

    def _ready(self, start: Tensor, controls: Tensor) -> bool:
        """Trace the step where that has not been done for these weights and this precision."""
        if self._fused is not None and self._fused.serves(start, controls) and self._holds(start, controls):
            return True
        if self._refused == (start.dtype, start.device):
            return False
        self._fused = None
        try:
            from trajopt_sgp.derivatives.fused.rollout import FusedRollout

            self._fused = FusedRollout(self._step, start[0].detach(), controls[0, 0].detach())
        except (*FAILURES, *_NO_COMPILER) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            self._refused, self.backend = (start.dtype, start.device), f"PyTorch: {reason}"
            return False
        self.backend, self._checked = f"compiled: {self._fused.operations} operations a step", True
        return True

    def _holds(self, start: Tensor, controls: Tensor) -> bool:
        """Return whether the compiled step still is the step, as far as the first states show."""
        if not self._checked:
            examples = start[:_EXAMPLES].detach().numpy(), controls[:_EXAMPLES, 0].detach().numpy()
            self._checked = bool(self._fused.agrees(self._step, *examples))
        return self._checked


class _AdjointRollout(torch.autograd.Function):
    """Forward without recording; backward from the Jacobians of all steps, evaluated in one batched call."""

    @staticmethod
    def forward(ctx: Any, controls: Tensor, initial_state: Tensor, step: Step) -> Tensor:
        states = roll_out(step, initial_state, controls)
        ctx.save_for_backward(states, controls)
        ctx.step = step
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        states, controls = ctx.saved_tensors
        (batch, horizon, m), n = controls.shape, states.shape[-1]
        with torch.enable_grad():
            z = torch.cat([states[:, :-1], controls], dim=-1).reshape(-1, n + m).requires_grad_(True)
            after = ctx.step(z[:, :n], z[:, n:])
            jacobians = differentiate(after, z).reshape(batch, horizon, n, n + m)
        # the recursion is sequential and tiny: NumPy has a fraction of the overhead
        blocks, direct = jacobians.cpu().numpy(), gradients[0].cpu().numpy()
        by_control = np.empty((batch, horizon, m), dtype=blocks.dtype)
        adjoint = direct[:, -1]
        for t in range(horizon - 1, -1, -1):
            product = (adjoint[:, None] @ blocks[:, t])[:, 0]
            by_control[:, t] = product[:, n:]
            adjoint = direct[:, t] + product[:, :n]
        return torch.from_numpy(by_control).to(controls.device), torch.from_numpy(adjoint).to(controls.device), None
