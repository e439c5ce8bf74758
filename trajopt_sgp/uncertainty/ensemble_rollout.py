"""Rolling the members of an ensemble out side by side: compiled, and differentiable twice."""

from typing import Any

import torch
from torch import Tensor

from trajopt_sgp.derivatives.rollout import Rollout, roll_out
from trajopt_sgp.derivatives.second_order import second_derivatives_wanted
from trajopt_sgp.models import EnsembleDynamics


class MemberRollout:
    """The rollout of all members under the same controls.

    Values and first derivatives come from one compiled rollout of all members, where that can be made; gradients that
    are to be differentiated again, from recorded steps of the batched ensemble. The weights are constants.

    Args:
        ensemble: whose members are rolled out.
    """

    def __init__(self, ensemble: EnsembleDynamics) -> None:
        self._ensemble = ensemble
        self._rollout = Rollout(self._step)

    @property
    def backend(self) -> str:
        """How the last rollout was computed, and why."""
        return self._rollout.backend

    def __call__(self, start: Tensor, controls: Tensor) -> Tensor:
        """Return the states `(K, ..., N+1, n)` of each member from `(..., n)` under controls `(..., N, m)`."""
        batch = controls.shape[:-2]
        starts = start.expand(*batch, -1).reshape(-1, start.shape[-1])
        drives = controls.reshape(-1, *controls.shape[-2:])
        if second_derivatives_wanted():
            return self._unflattened(self.recorded(starts, drives), batch)
        return self._unflattened(_Rolled.apply(drives, starts, self), batch)  # type: ignore[no-untyped-call]

    def compiled(self, starts: Tensor, drives: Tensor) -> Tensor:
        """Return states `(K, P, N+1, n)` from `(P, n)` under controls `(P, N, m)`, differentiable once."""
        joined = self._rollout(starts.repeat(1, self._ensemble.member_count), drives)
        return joined.reshape(*joined.shape[:-1], -1, starts.shape[-1]).movedim(-2, 0)

    def recorded(self, starts: Tensor, drives: Tensor) -> Tensor:
        """Return the same, differentiable any number of times."""
        count = self._ensemble.member_count
        return roll_out(self._ensemble.advance, starts.expand(count, -1, -1), drives.expand(count, -1, -1, -1))

    def _unflattened(self, states: Tensor, batch: torch.Size) -> Tensor:
        return states.reshape(len(states), *batch, *states.shape[-2:])

    def _step(self, joined: Tensor, control: Tensor) -> Tensor:
        """Return the next states `(..., K n)` of all members from theirs, in operations that a compiler can trace."""
        ensemble, n = self._ensemble, self._ensemble.state_size
        parts = [joined[..., k * n : (k + 1) * n] for k in range(ensemble.member_count)]
        return torch.cat([ensemble.member_step(k, part, control) for k, part in enumerate(parts)], dim=-1)


class _Rolled(torch.autograd.Function):
    """States from controls and starts, by the compiled rollout and its adjoint, which is not differentiable itself."""

    @staticmethod
    def forward(ctx: Any, drives: Tensor, starts: Tensor, rollout: MemberRollout) -> Tensor:
        ctx.save_for_backward(drives, starts)
        inputs = [
            t.detach().requires_grad_(needed) for t, needed in zip((drives, starts), ctx.needs_input_grad, strict=False)
        ]
        with torch.enable_grad():
            states = rollout.compiled(inputs[1], inputs[0])
        ctx.rollout, ctx.inner = rollout, (states, inputs)
        return states.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        again = torch.is_grad_enabled()
        states, inputs = ctx.inner
        if again:
            inputs = ctx.saved_tensors
            states = ctx.rollout.recorded(inputs[1], inputs[0])
        wanted = [t for t in inputs if t.requires_grad]
        found = iter(torch.autograd.grad(states, wanted, gradients[0], retain_graph=True, create_graph=again))
        by_drives, by_starts = (next(found) if t.requires_grad else None for t in inputs)
        return by_drives, by_starts, None
