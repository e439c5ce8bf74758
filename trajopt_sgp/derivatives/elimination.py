"""Shooting as elimination: states that follow from the dynamics are variables no more.

A transcription has variables v and, among its rows, the defects x_{k+1} = f_k(x_k, u_k). Shooting keeps a part w of v
and obtains the other states by rolling the dynamics out from the states that are kept, its nodes. With S = dv/dw and
with multipliers of the eliminated defects that make the Lagrangian stationary in the eliminated states, gradient,
Jacobian and Hessian of the smaller program are S'g, J S and S'H S, exactly: the method of null spaces.

Source: J. Nocedal and S. J. Wright, Numerical Optimization, section 15.3; for multiple shooting H. G. Bock and K. J.
Plitt, IFAC 1984.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trajopt_sgp.arrays import AnyArray, BoolArray, FloatArray, IntArray
from trajopt_sgp.derivatives.rollout import Rollout
from trajopt_sgp.derivatives.stage_term import Parameters

Advance = Callable[[Tensor, Tensor], Tensor]
"""State `(..., n)` and input `(..., q)` at one knot to the next state `(..., n)`."""

PullBack = Callable[[AnyArray], AnyArray]
"""Gradients by the results of a function to those by its arguments."""


@runtime_checkable
class Inputs(Protocol):
    """What drives the intervals, besides the state: a linear function of the variables."""

    def __call__(self, full: AnyArray, parameters: Parameters) -> AnyArray:
        """Return the inputs `(P, N, q)` from scaled variables `(P, size)`."""
        ...

    def pull_back(self, by_inputs: AnyArray, by_full: AnyArray) -> None:
        """Add to a gradient by the variables `(P, size)` the part that comes from one by the inputs `(P, N, q)`."""
        ...


def eliminated_knots(horizon: int, steps: int) -> BoolArray:
    """Return which states `(N+1,)` are eliminated when every `steps`-th is kept: the others, and the last."""
    knots = np.arange(horizon + 1)
    gone: BoolArray = (knots % steps != 0) | (knots == horizon)
    return gone


@dataclass(frozen=True, eq=False)
class Elimination:
    """Which states are eliminated, and how they follow from what is kept."""

    states: IntArray
    """Variables of the transcription that are states, `(N+1, n)`."""
    scale: FloatArray
    """Units of the states, `(n,)`."""
    steps: int
    """Intervals M from one node to the next; divides N."""
    fixed_start: bool
    """Whether x_0 is given, so that it is no variable either."""
    size: int
    """Number of variables of the transcription."""
    advance: Advance
    """One step of the dynamics."""
    inputs: Inputs
    """What the dynamics need besides the state."""
    shared: int = 0
    """How many of the last variables of a defect are the same for all knots, as a free duration is."""
    kept: IntArray = field(init=False)
    """Variables that remain, ascending."""
    eliminated: BoolArray = field(init=False)
    """Whether the state at each knot is eliminated, `(N+1,)`."""
    rollout: Rollout = field(init=False)
    """How states follow from nodes and inputs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rollout", Rollout(self.advance))
        eliminated = eliminated_knots(len(self.states) - 1, self.steps)
        gone = self.states[eliminated].ravel()
        if self.fixed_start:
            gone = np.concatenate([gone, self.states[0]])
        object.__setattr__(self, "eliminated", eliminated)
        object.__setattr__(self, "kept", np.setdiff1d(np.arange(self.size), gone))

    @property
    def segments(self) -> int:
        """Number of pieces that are rolled out side by side."""
        return (len(self.states) - 1) // self.steps

    def lift(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return all variables of the transcription `(P, size)` from those kept `(P, k)`; differentiable once."""
        lifted: Tensor = _Lift.apply(variables, self, parameters)  # type: ignore[no-untyped-call]
        return lifted

    def lift_array(self, variables: AnyArray, parameters: Parameters) -> AnyArray:
        """Return the same as an array of the same precision."""
        full = self._known(variables, parameters)
        self._put(full, self.rollout.states(*self._driven(full, parameters)))
        return full

    def holds(self, variables: AnyArray, parameters: Parameters) -> bool:
        """Return whether compiled rollouts still are those of the dynamics, along plans `(P, k)` of variables kept."""
        start, inputs = self._driven(self.lift_array(variables, parameters), parameters)
        return self.rollout.holds(self.rollout.states(start, inputs), inputs)

    def lift_with_adjoint(self, variables: AnyArray, parameters: Parameters) -> tuple[AnyArray, PullBack]:
        """Return the same, and what takes gradients `(P, size)` by it to those by the variables kept, `(P, k)`."""
        full = self._known(variables, parameters)
        rolled, roll_back = self.rollout.with_adjoint(*self._driven(full, parameters))
        self._put(full, rolled)

        def pull_back(gradient: AnyArray) -> AnyArray:
            places, programs = self._places(gradient.dtype), len(gradient)
            by_inputs, by_heads = roll_back(self._by_rolled(gradient, rolled.shape))
            total = gradient.copy()
            if not (self.fixed_start and self.segments == 1):
                total[:, places.heads] += by_heads.reshape(programs, *places.heads.shape) * places.units
            self.inputs.pull_back(by_inputs.reshape(programs, -1, by_inputs.shape[-1]), total)
            return total.take(self.kept, axis=1)

        return full, pull_back

    def _known(self, variables: AnyArray, parameters: Parameters) -> AnyArray:
        """Return all variables `(P, size)` with zeros for what follows from the dynamics."""
        full = np.zeros((len(variables), self.size), variables.dtype)
        full[:, self.kept] = variables
        if self.fixed_start:
            units = self._places(variables.dtype).units
            full[:, self.states[0]] = parameters.initial_state.numpy().astype(variables.dtype, copy=False) / units
        return full

    def _driven(self, full: AnyArray, parameters: Parameters) -> tuple[AnyArray, AnyArray]:
        """Return where the segments start `(P * G, n)`, and their inputs `(P * G, M, q)`."""
        places, inputs = self._places(full.dtype), self.inputs(full, parameters)
        heads = full.take(places.heads, axis=1) * places.units
        return heads.reshape(-1, heads.shape[-1]), inputs.reshape(-1, self.steps, inputs.shape[-1])

    def _put(self, full: AnyArray, rolled: AnyArray) -> None:
        """Put the states that were rolled out, `(P * G, M+1, n)`, among all variables."""
        places, n = self._places(full.dtype), rolled.shape[-1]
        full[:, places.gone] = rolled.reshape(len(full), -1, n).take(places.rolled, axis=1) / places.units

    def _by_rolled(self, gradient: AnyArray, shape: tuple[int, ...]) -> AnyArray:
        """Return the gradient by the states that were rolled out, of that shape, from the one by all variables."""
        places, by_rolled = self._places(gradient.dtype), np.zeros(shape, gradient.dtype)
        by_rolled.reshape(len(gradient), -1, shape[-1])[:, places.rolled] = (
            gradient.take(places.gone, axis=1) / places.units
        )
        return by_rolled

    def _places(self, dtype: Any) -> "_Places":
        return self._double if dtype == np.float64 else self._single

    @cached_property
    def _double(self) -> "_Places":
        gone = np.flatnonzero(self.eliminated)
        # each segment begins with a state of its own
        rolled = gone + (gone - 1) // self.steps
        return _Places(self.states[: -1 : self.steps], self.states[gone], rolled, self.scale)

    @cached_property
    def _single(self) -> "_Places":
        return self._double._replace(units=self.scale.astype(np.float32))


class _Places(NamedTuple):
    """Where things are, which every rollout needs, and the units of states."""

    heads: IntArray
    """States from which segments start, `(G, n)`."""
    gone: IntArray
    """Eliminated states, `(K, n)`."""
    rolled: IntArray
    """Where they are among the states that are rolled out, segment by segment, `(K,)`."""
    units: AnyArray
    """Of the states, `(n,)`, in the precision of the variables."""


class _Lift(torch.autograd.Function):
    """Lifting as PyTorch calls it."""

    @staticmethod
    def forward(ctx: Any, variables: Tensor, elimination: Elimination, parameters: Parameters) -> Tensor:
        kept = variables.detach().numpy()
        if not any(ctx.needs_input_grad):
            return torch.from_numpy(elimination.lift_array(kept, parameters))
        full, ctx.pull_back = elimination.lift_with_adjoint(kept, parameters)
        return torch.from_numpy(full)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return torch.from_numpy(ctx.pull_back(gradient.numpy())), None, None
