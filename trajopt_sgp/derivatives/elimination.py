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
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.rollout import Rollout
from trajopt_sgp.derivatives.stage_term import FloatArray, IntArray, Parameters

Advance = Callable[[Tensor, Tensor], Tensor]
"""State `(..., n)` and input `(..., q)` at one knot to the next state `(..., n)`."""

PullBack = Callable[[Tensor], Tensor]
"""Gradients by the results of a function to those by its arguments."""


@runtime_checkable
class Inputs(Protocol):
    """What drives the intervals, besides the state: a linear function of the variables."""

    def __call__(self, full: Tensor, parameters: Parameters) -> Tensor:
        """Return the inputs `(P, N, q)` from scaled variables `(P, size)`, differentiable."""
        ...

    def pull_back(self, by_inputs: Tensor, by_full: Tensor) -> Tensor:
        """Return a gradient by the variables `(P, size)` with the part added that comes from one by the inputs."""
        ...


def eliminated_knots(horizon: int, steps: int) -> NDArray[np.bool_]:
    """Return which states `(N+1,)` are eliminated when every `steps`-th is kept: the others, and the last."""
    knots = np.arange(horizon + 1)
    gone: NDArray[np.bool_] = (knots % steps != 0) | (knots == horizon)
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
    eliminated: NDArray[np.bool_] = field(init=False)
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
        full = self._known(variables, parameters)
        return self._joined(full, self.rollout(*self._driven(full, parameters)))

    def lift_with_adjoint(self, variables: Tensor, parameters: Parameters) -> tuple[Tensor, PullBack]:
        """Return the same, and what takes gradients `(P, size)` by it to those by the variables kept, `(P, k)`."""
        with torch.no_grad():
            known = self._known(variables, parameters)
            rolled, roll_back = self.rollout.with_adjoint(*self._driven(known, parameters))
            full = self._joined(known, rolled)

        def pull_back(gradient: Tensor) -> Tensor:
            by_inputs, by_heads = roll_back(self._by_rolled(gradient, rolled.shape))
            programs = gradient.shape[0]
            by_heads = (by_heads * self._units.to(gradient.dtype)).reshape(programs, -1)
            total = gradient.index_add(1, self._places.heads.flatten(), by_heads)
            total = self.inputs.pull_back(by_inputs.reshape(programs, -1, by_inputs.shape[-1]), total)
            return total.index_select(1, self._places.kept)

        return full, pull_back

    def _known(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return all variables `(P, size)` with zeros for what follows from the dynamics."""
        full = variables.new_zeros((variables.shape[0], self.size)).index_copy_(-1, self._places.kept, variables)
        if not self.fixed_start:
            return full
        start = parameters.initial_state.to(full.dtype) / self._units.to(full.dtype)
        return full.index_copy_(-1, self._places.start, start.expand(full.shape[0], -1))

    def _driven(self, full: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Return where the segments start `(P * G, n)`, and their inputs `(P * G, M, q)`."""
        inputs = self.inputs(full, parameters)
        heads = full[:, self._places.heads] * self._units.to(full.dtype)
        return heads.flatten(0, 1), inputs.reshape(-1, self.steps, inputs.shape[-1])

    def _joined(self, full: Tensor, rolled: Tensor) -> Tensor:
        """Put the states that were rolled out, `(P * G, M+1, n)`, among all variables."""
        after = rolled[:, 1:].reshape(full.shape[0], -1, rolled.shape[-1]) / self._units.to(full.dtype)
        return full.index_copy_(-1, self._places.gone, after.index_select(1, self._places.steps).flatten(-2))

    def _by_rolled(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient by the states that were rolled out, of that shape, from the one by all variables."""
        programs, n = gradient.shape[0], shape[-1]
        gone = gradient.index_select(1, self._places.gone).reshape(programs, -1, n) / self._units.to(gradient.dtype)
        by_rolled = gradient.new_zeros((programs, self.segments, self.steps + 1, n))
        by_rolled.flatten(1, 2).index_copy_(1, self._places.rolled, gone)
        return by_rolled.flatten(0, 1)

    @cached_property
    def _units(self) -> Tensor:
        return torch.as_tensor(self.scale)

    @cached_property
    def _places(self) -> "_Places":
        gone = np.flatnonzero(self.eliminated)
        # each segment begins with a state of its own
        rolled = gone + (gone - 1) // self.steps
        heads = self.states[: -1 : self.steps]
        arrays = self.kept, self.states[0], heads, self.states[gone].ravel(), gone - 1, rolled
        return _Places(*map(torch.as_tensor, arrays))


class _Places(NamedTuple):
    """Where things are, as tensors, which every rollout needs."""

    kept: Tensor
    """Variables that remain."""
    start: Tensor
    """The first state."""
    heads: Tensor
    """States from which segments start, `(G, n)`."""
    gone: Tensor
    """Eliminated states, one after the other."""
    steps: Tensor
    """The steps that lead to them."""
    rolled: Tensor
    """Where they are among the states that are rolled out, segment by segment."""
