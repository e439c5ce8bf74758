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
from scipy import sparse
from torch import Tensor

from trajopt_sgp.derivatives.assembly import Assembly, Pattern
from trajopt_sgp.derivatives.point_memory import PointMemory
from trajopt_sgp.derivatives.rollout import Rollout
from trajopt_sgp.derivatives.stage_term import FloatArray, IntArray, Parameters, StageTerm

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


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """S = dv/dw: how all variables of the transcription follow the kept ones. Letters: G segments of M steps."""

    elimination: Elimination
    """What is kept."""
    drivers: IntArray
    """Variables besides the state that each step depends on, `(N, q)`, the shared ones last."""
    live: NDArray[np.bool_] = field(init=False)
    """Which entries of the tangents `(G, M, n, columns)` are entries of S."""
    rows: IntArray = field(init=False)
    """Row of every entry."""
    columns: IntArray = field(init=False)
    """Column of every entry."""

    def __post_init__(self) -> None:
        e, n = self.elimination, self.elimination.states.shape[1]
        place = np.full(e.size, -1)
        place[e.kept] = np.arange(len(e.kept))
        own = self.drivers[:, : self._own].reshape(e.segments, -1)
        variables = np.hstack([e.states[: -1 : e.steps], own, self.drivers[:: e.steps, self._own :]])
        columns = np.broadcast_to(place[variables][:, None, None], (e.segments, e.steps, n, variables.shape[1]))
        rows = np.broadcast_to(e.states[1:].reshape(e.segments, e.steps, n)[..., None], columns.shape)
        past = np.concatenate([np.zeros(n, np.int64), np.repeat(np.arange(e.steps), self._own), [0] * e.shared])
        causal = past <= np.arange(e.steps)[:, None, None]
        live = (columns >= 0) & causal & e.eliminated[1:].reshape(e.segments, e.steps, 1, 1)
        object.__setattr__(self, "live", live)
        object.__setattr__(self, "rows", np.concatenate([e.kept, rows[live]]))
        object.__setattr__(self, "columns", np.concatenate([place[e.kept], columns[live]]))

    def matrix(self, blocks: FloatArray) -> sparse.csr_matrix:
        """Return S from the scaled Jacobian blocks `(N, n, n+q)` of the dynamics."""
        e = self.elimination
        values = np.concatenate([np.ones(len(e.kept)), self._tangents(blocks)[self.live]])
        return sparse.csr_matrix((values, (self.rows, self.columns)), shape=(e.size, len(e.kept)))

    def _tangents(self, blocks: FloatArray) -> FloatArray:
        """Return the derivatives `(G, M, n, columns)` of the state after each step by what drives its segment."""
        e, n, own = self.elimination, blocks.shape[1], self._own
        steps = blocks.reshape(e.segments, e.steps, n, -1)
        tangents = np.zeros(self.live.shape)
        tangent = np.zeros((e.segments, n, self.live.shape[-1]))
        tangent[:, :, :n] = np.eye(n)
        # what grows without bound on a wild iterate is found where values are checked
        with np.errstate(over="ignore", invalid="ignore"):
            for j in range(e.steps):
                tangent = steps[:, j, :, :n] @ tangent
                first = n + j * own
                tangent[:, :, first : first + own] += steps[:, j, :, n : n + own]
                tangent[:, :, n + e.steps * own :] += steps[:, j, :, n + own :]
                tangents[:, j] = tangent
        return tangents

    @property
    def _own(self) -> int:
        return int(self.drivers.shape[1]) - self.elimination.shared


@dataclass(frozen=True, eq=False)
class CondensedAssembly:
    """What `Assembly` offers, for the variables that an elimination keeps."""

    full: Assembly
    """Of the transcription; its first constraint must be the defects."""
    elimination: Elimination
    """What is kept."""
    row_places: IntArray = field(init=False)
    """Rows of the transcription that remain."""
    memory: PointMemory = field(init=False, default_factory=PointMemory)
    """Rollout and derivatives of the transcription at the last point."""

    def __post_init__(self) -> None:
        gone = np.flatnonzero(self.elimination.eliminated) - 1
        rows = (gone[:, None] * self.defect.rows + np.arange(self.defect.rows)).ravel()
        object.__setattr__(self, "row_places", np.setdiff1d(np.arange(self.full.row_count), rows))

    # what grows with the square of the horizon is made when it is asked for: first-order solvers never do

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """S = dv/dw."""
        return Sensitivity(self.elimination, self.defect.index[:, self.defect.rows :])

    @cached_property
    def jacobian_pattern(self) -> Pattern:
        """Nonzeros of the Jacobian of the remaining constraints by the remaining variables."""
        jacobian = self._sparse(self.full.jacobian_pattern, np.ones(len(self.full.jacobian_pattern.rows)), rows=True)
        return _pattern(jacobian[self.row_places] @ self._structure)

    @cached_property
    def hessian_pattern(self) -> Pattern:
        """Nonzeros of the upper triangle of the Hessian of the Lagrangian."""
        hessian = self._symmetric(np.ones(len(self.full.hessian_pattern.rows)))
        return _pattern(sparse.triu(self._structure.T @ hessian @ self._structure))

    @cached_property
    def _structure(self) -> sparse.csr_matrix:
        defect = self.defect
        return self.sensitivity.matrix(np.ones((defect.instances, defect.rows, defect.index.shape[1])))

    @property
    def size(self) -> int:
        """Number of decision variables."""
        return len(self.elimination.kept)

    @property
    def row_count(self) -> int:
        """Number of constraint rows."""
        return len(self.row_places)

    @property
    def defect(self) -> StageTerm:
        """The dynamics of the transcription."""
        return self.full.constraints[0]

    def objective(self, variables: FloatArray, parameters: Parameters) -> float:
        """Return the sum of the costs."""
        return self.full.objective(self.lift(variables, parameters), parameters)

    def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        """Return the objective and its gradient `(size,)`."""
        v = self.lift(variables, parameters)
        value, gradient = self._full_gradient(v, parameters)
        return value, self._tangents(v, parameters).T @ gradient

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled constraint rows `(row_count,)`."""
        return self.full.rows(self.lift(variables, parameters), parameters)[self.row_places]

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the scaled rows and the nonzeros of their Jacobian in the order of `jacobian_pattern`."""
        v = self.lift(variables, parameters)
        rows, values = self._full_jacobian(v, parameters)
        jacobian = self._sparse(self.full.jacobian_pattern, values, rows=True)[self.row_places]
        return rows[self.row_places], _values(self.jacobian_pattern, jacobian @ self._tangents(v, parameters))

    def hessian(
        self,
        variables: FloatArray,
        cost_factor: float,
        multipliers: FloatArray,
        parameters: Parameters,
        exact: bool = True,
    ) -> FloatArray:
        """Return the nonzeros of the Hessian of cost_factor * objective + multipliers . rows, upper triangle."""
        v = self.lift(variables, parameters)
        every = np.zeros(self.full.row_count)
        every[self.row_places] = multipliers
        if exact:
            self._add_multipliers(every, v, cost_factor, parameters)
        tangents = self._tangents(v, parameters)
        hessian = self._symmetric(self.full.hessian(v, cost_factor, every, parameters, exact))
        return _values(self.hessian_pattern, sparse.triu(tangents.T @ hessian @ tangents))

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper bounds of the scaled rows, `(row_count,)` each."""
        lower, upper = self.full.bounds()
        return lower[self.row_places], upper[self.row_places]

    def row_unscale(self) -> FloatArray:
        """Return the factor that turns a scaled row back into its own units, `(row_count,)`."""
        return self.full.row_unscale()[self.row_places]

    def row_name(self, row: int) -> tuple[str, int]:
        """Return the name and the knot of a constraint row."""
        return self.full.row_name(int(self.row_places[row]))

    def lift(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return all variables of the transcription `(full size,)`."""
        return self.memory.once("lift", variables, parameters, lambda: self._lift(variables, parameters))

    def _lift(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        with torch.no_grad():
            full: FloatArray = self.elimination.lift(torch.as_tensor(variables)[None], parameters)[0].numpy()
        return full

    def _tangents(self, full: FloatArray, parameters: Parameters) -> sparse.csr_matrix:
        blocks = self._blocks(full, parameters)
        return self.memory.once("tangents", full, parameters, lambda: self.sensitivity.matrix(blocks))

    def _blocks(self, full: FloatArray, parameters: Parameters) -> FloatArray:
        return self.memory.once("blocks", full, parameters, lambda: self.full.blocks(self.defect, full, parameters))

    def _full_gradient(self, full: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        return self.memory.once("gradient", full, parameters, lambda: self.full.gradient(full, parameters))

    def _full_jacobian(self, full: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        return self.memory.once("jacobian", full, parameters, lambda: self.full.jacobian(full, parameters))

    def _add_multipliers(
        self, multipliers: FloatArray, full: FloatArray, cost_factor: float, parameters: Parameters
    ) -> None:
        """Set the multipliers of eliminated defects that make the Lagrangian stationary in the eliminated states."""
        e, n = self.elimination, self.defect.rows
        jacobian = self._sparse(self.full.jacobian_pattern, self._full_jacobian(full, parameters)[1], rows=True)
        direct = cost_factor * self._full_gradient(full, parameters)[1] + jacobian.T @ multipliers
        blocks = self._blocks(full, parameters)[:, :, :n]
        by_state = direct[e.states]
        adjoint = np.zeros((len(blocks), n))
        for knot in range(len(blocks), 0, -1):
            if not e.eliminated[knot]:
                continue
            adjoint[knot - 1] = by_state[knot]
            if knot < len(blocks) and e.eliminated[knot + 1]:
                adjoint[knot - 1] += blocks[knot].T @ adjoint[knot]
        gone = np.flatnonzero(e.eliminated) - 1
        multipliers[: len(blocks) * n].reshape(-1, n)[gone] = adjoint[gone]

    def _sparse(self, pattern: Pattern, values: FloatArray, rows: bool) -> sparse.csr_matrix:
        height = self.full.row_count if rows else self.full.size
        return sparse.csr_matrix((values, (pattern.rows, pattern.columns)), shape=(height, self.full.size))

    def _symmetric(self, values: FloatArray) -> sparse.csr_matrix:
        upper = self._sparse(self.full.hessian_pattern, values, rows=False)
        return upper + sparse.triu(upper, 1).T


def _pattern(matrix: sparse.spmatrix) -> Pattern:
    entries = matrix.tocoo()
    return Pattern.of(entries.row.astype(np.int64), entries.col.astype(np.int64))


def _values(pattern: Pattern, matrix: sparse.spmatrix) -> FloatArray:
    """Return the entries of a matrix in the order of a pattern that holds them all."""
    entries = matrix.tocoo()
    stride = int(pattern.rows.max(initial=0)) + 1
    places = np.searchsorted(
        pattern.columns * stride + pattern.rows, entries.col.astype(np.int64) * stride + entries.row
    )
    values = np.zeros(len(pattern.rows))
    np.add.at(values, places, entries.data)
    return values
