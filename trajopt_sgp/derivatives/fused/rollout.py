"""The fused rollout of a step, and its adjoint, as functions of PyTorch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba.core.errors import NumbaError
from torch import Tensor
from torch.autograd.function import once_differentiable

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.derivatives.blas import product_arguments, products_by_mkl
from trajopt_sgp.derivatives.fused import kernels
from trajopt_sgp.derivatives.fused.lowering import lower
from trajopt_sgp.derivatives.fused.programme import StepProgramme
from trajopt_sgp.derivatives.fused.row_blocks import blocks_of_rows
from trajopt_sgp.derivatives.memory_layout import aligned_empty
from trajopt_sgp.derivatives.probes import allowed, disagreement, probes
from trajopt_sgp.derivatives.traced.graph import trace
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError
from trajopt_sgp.derivatives.watched import Watched, modules_of

Step = Callable[[Tensor, Tensor], Tensor]
PullBack = Callable[[AnyArray], tuple[AnyArray, AnyArray]]

_AGREEMENT = {torch.float64: 1e-9, torch.float32: 1e-4}
# PyTorch rounds some constants of gradients to single precision
_ANOTHER_BRANCH = 1e-6


class FusedRollout:
    """A step that has been traced, at the weights it had then.

    Args:
        step: states `(..., n)` and inputs `(..., q)` to states `(..., n)`.
        state: example `(n,)`.
        control: example `(q,)`.

    Raises:
        UnsupportedError: the step holds an operation that is not known, or the compiled step is not the step.
    """

    def __init__(self, step: Step, state: Tensor, control: Tensor) -> None:
        if state.device.type != "cpu" or state.dtype not in _AGREEMENT or control.dtype != state.dtype:
            raise UnsupportedError(f"{state.dtype} on {state.device} has no compiled rollout")
        n = len(state)
        z = torch.cat([state, control]).detach()
        z = torch.stack([z, z + 0.01 * (1.0 + z.abs())])
        with torch.no_grad():
            tape = trace(lambda pair: step(pair[..., :n], pair[..., n:]), z, [])
        self.programme = lower(tape, z, n)
        self.watched = Watched(tape.sources, modules_of(step))
        try:
            self._check(step, z, n)
        except NumbaError as error:
            raise UnsupportedError(f"Numba could not compile the rollout: {error}") from error

    def __call__(self, initial_state: Tensor, controls: Tensor) -> Tensor:
        """Return the states `(B, T+1, n)` from `(B, n)` under inputs `(B, T, q)`, differentiable once."""
        states: Tensor = _Rollout.apply(controls, initial_state, self.programme)  # type: ignore[no-untyped-call]
        return states

    def with_adjoint(self, initial_state: AnyArray, controls: AnyArray) -> tuple[AnyArray, PullBack]:
        """Return the states, and what takes a gradient by them to those by inputs and initial state."""
        sweeps = _Sweeps(self.programme, initial_state, controls, differentiated=True)
        return sweeps.states, sweeps.pull_back

    @property
    def operations(self) -> int:
        """Number of operations of a step."""
        return len(self.programme.table)

    def serves(self, state: Tensor, controls: Tensor) -> bool:
        """Return whether it is the rollout for these precisions and sizes, at the weights of now."""
        on_cpu = state.device.type == "cpu" == controls.device.type
        return on_cpu and self.serves_arrays(state.detach().numpy(), controls.detach().numpy())

    def serves_arrays(self, state: AnyArray, controls: AnyArray) -> bool:
        """Return the same for arrays."""
        own, sizes = self.programme, (state.shape[-1], controls.shape[-1])
        fits = sizes == (own.state_size, own.input_size) and state.dtype == controls.dtype == own.numbers.dtype
        return fits and controls.size > 0 and not self.watched.changed

    def agrees(self, step: Step, states: AnyArray, controls: AnyArray) -> bool:
        """Return whether a step from states `(K, n)` under inputs `(K, q)`, and around them, is that of `step`."""
        found, expected = self._values(step, np.concatenate([states, controls], axis=1))
        if math.isfinite(self._tolerance):
            return disagreement(found, expected) <= self._tolerance
        step_values, tolerance = torch.from_numpy(expected), _AGREEMENT[torch.from_numpy(states).dtype]
        return _close(torch.from_numpy(found), step_values, tolerance)

    @torch.no_grad()
    def _values(self, step: Step, z: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Return compiled steps and those of `step`, `(Q, K, n)`, at Q probes of states with inputs `(K, n + q)`."""
        points, n = probes(z), self.programme.state_size
        rows = torch.from_numpy(points.reshape(-1, z.shape[1]))
        found, expected = (f(rows[:, :n], rows[:, n:]).numpy() for f in (self._one_step, step))
        return found.reshape(*points.shape[:2], n), expected.reshape(*points.shape[:2], n)

    def _check(self, step: Step, z: Tensor, n: int) -> None:
        """Compare with the step itself, far off, where it may have other branches, and for one row and for several."""
        size = 1.0 + z[0].abs()
        far = [z[:1] + distance * size for distance in (1.0, -30.0)]
        beside = [z[0] + torch.linspace(0.0, 0.02, rows, dtype=z.dtype)[:, None] * size for rows in (1, 5)]
        matches = [self._matches(step, points, n, far=True) for points in far]
        matches += [self._matches(step, points, n, far=False) for points in beside]
        if not all(matches):
            raise UnsupportedError("its compiled step is not that of PyTorch")
        observed = disagreement(*self._values(step, beside[-1].numpy()))
        self._tolerance = allowed(observed, _AGREEMENT[z.dtype])

    def _matches(self, step: Step, points: Tensor, n: int, far: bool) -> bool:
        """Return whether values and slopes are those of a step; far off, slopes where they are numbers."""
        found, slopes = _with_slopes(self._one_step, points, n)
        expected, others = _with_slopes(step, points, n)
        tolerance = _AGREEMENT[points.dtype]
        if not far:
            return _close(found, expected, tolerance) and _close(slopes, others, tolerance)
        others = torch.where(slopes.isfinite(), others, torch.nan)
        return _close(found, expected, tolerance) and _close(slopes, others, max(tolerance, _ANOTHER_BRANCH))

    def _one_step(self, state: Tensor, control: Tensor) -> Tensor:
        return self(state, control[:, None])[:, 1]


class _Record:
    """What the adjoint needs; its memory returns to the programme."""

    def __init__(self, programme: StepProgramme, size: int) -> None:
        self._spare = programme.spare
        fitting = next((i for i, array in enumerate(self._spare) if size <= array.size <= 2 * size), None)
        self.array = aligned_empty(size, programme.numbers.dtype) if fitting is None else self._spare.pop(fitting)

    def __del__(self) -> None:
        if len(self._spare) < 2:
            self._spare.append(self.array)

    def part(self, start: int, steps: int, size: int) -> AnyArray:
        """Return `(steps, size)` from an entry on."""
        return self.array[start : start + steps * size].reshape(steps, size)


class _Sweeps:
    """Both sweeps of one rollout, a block of rows at a time.

    Args:
        programme: the step.
        initial_state: `(B, n)`.
        controls: inputs `(B, T, q)`.
        differentiated: whether the adjoint will be asked for.
    """

    def __init__(
        self, programme: StepProgramme, initial_state: AnyArray, controls: AnyArray, differentiated: bool
    ) -> None:
        batch, horizon, _ = self._shape = controls.shape
        self._programme, self._tables = programme, programme.arguments
        self._product = product_arguments(programme.numbers.dtype)
        self.states: AnyArray = np.empty((batch, horizon + 1, programme.state_size), programme.numbers.dtype)
        self.states[:, 0] = initial_state
        inputs = np.ascontiguousarray(controls)
        self._parts = blocks_of_rows(batch, programme.largest_product, products_by_mkl())
        kept, rows = (horizon, batch) if differentiated else (1, self._parts[0].stop if self._parts else 0)
        self._record = _Record(programme, kept * programme.record_size * rows)
        for part in self._parts:
            first = part.start if differentiated else 0
            start, size = kept * programme.record_size * first, programme.record_size * (part.stop - part.start)
            work = aligned_empty(programme.work_size * (part.stop - part.start), self.states.dtype)
            slopes = self._record.part(start, kept, size)
            kernels.roll_out(self.states[part], inputs[part], *self._tables, work, slopes, *self._product)

    def pull_back(self, gradient: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Return the gradients by controls `(B, T, q)` and start `(B, n)` from that by the states `(B, T+1, n)`."""
        programme, (batch, horizon, _) = self._programme, self._shape
        direct = np.ascontiguousarray(gradient)
        by_control = np.empty(self._shape, direct.dtype)
        by_start = np.empty((batch, programme.state_size), direct.dtype)
        for part in self._parts:
            rows = part.stop - part.start
            start, size = horizon * programme.record_size * part.start, programme.record_size * rows
            adjoint = aligned_empty(programme.work_size * rows, direct.dtype)
            slopes = self._record.part(start, horizon, size)
            gradients = direct[part], by_control[part], by_start[part]
            kernels.sweep_back(*gradients, *self._tables, adjoint, slopes, *self._product)
        return by_control, by_start


class _Rollout(torch.autograd.Function):
    """The sweeps as PyTorch calls them."""

    @staticmethod
    def forward(ctx: Any, controls: Tensor, initial_state: Tensor, programme: StepProgramme) -> Tensor:
        start, inputs = initial_state.detach().numpy(), controls.detach().numpy()
        ctx.sweeps = _Sweeps(programme, start, inputs, any(ctx.needs_input_grad))
        return torch.from_numpy(ctx.sweeps.states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        by_control, by_start = ctx.sweeps.pull_back(gradient.numpy())
        return torch.from_numpy(by_control), torch.from_numpy(by_start), None


def _with_slopes(step: Step, points: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return a step from each of several points, and the gradient of its sum."""
    inputs = points.clone().requires_grad_(True)
    with torch.enable_grad():
        after = step(inputs[:, :n], inputs[:, n:])
        (slopes,) = torch.autograd.grad(after.sum(), inputs)
    return after.detach(), slopes


def _close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    finite = torch.isfinite(expected)
    scale = 1.0 + float(expected[finite].abs().max()) if bool(finite.any()) else 1.0
    return bool(((found - expected)[finite].abs() <= tolerance * scale).all())
