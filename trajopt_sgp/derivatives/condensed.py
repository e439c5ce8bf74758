"""The smaller program that elimination leaves: gradient, Jacobian and Hessian by the method of null spaces."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy  # loads its sparse matrices when they are first used, which takes a tenth of a second

from trajopt_sgp.arrays import BoolArray, FloatArray, IntArray
from trajopt_sgp.derivatives.assembly import Assembly, Pattern
from trajopt_sgp.derivatives.elimination import Elimination
from trajopt_sgp.derivatives.point_memory import PointMemory
from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """S = dv/dw: how all variables of the transcription follow the kept ones. Letters: G segments of M steps."""

    elimination: Elimination
    """What is kept."""
    drivers: IntArray
    """Variables besides the state that each step depends on, `(N, q)`, the shared ones last."""
    live: BoolArray = field(init=False)
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

    def matrix(self, blocks: FloatArray) -> "scipy.sparse.csr_matrix":
        """Return S from the scaled Jacobian blocks `(N, n, n+q)` of the dynamics."""
        e = self.elimination
        values = np.concatenate([np.ones(len(e.kept)), self._tangents(blocks)[self.live]])
        return scipy.sparse.csr_matrix((values, (self.rows, self.columns)), shape=(e.size, len(e.kept)))

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


@dataclass(eq=False)
class CondensedAssembly:
    """What `Assembly` offers, for the variables that an elimination keeps; it remembers the last point too."""

    full: Assembly
    """Of the transcription; its first constraint must be the defects."""
    elimination: Elimination
    """What is kept."""
    row_places: IntArray = field(init=False)
    """Rows of the transcription that remain."""
    memory: PointMemory = field(init=False, default_factory=PointMemory)
    """Rollout and derivatives of the transcription at the last point."""
    linearised: bool = field(init=False, default=False)
    """Whether S has been asked for, which then serves the gradient too; before, an adjoint sweep is less work."""

    def __post_init__(self) -> None:
        gone = np.flatnonzero(self.elimination.eliminated) - 1
        rows = (gone[:, None] * self.defect.rows + np.arange(self.defect.rows)).ravel()
        self.row_places = np.setdiff1d(np.arange(self.full.row_count), rows)

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
        return _pattern(scipy.sparse.triu(self._structure.T @ hessian @ self._structure))

    @cached_property
    def _structure(self) -> "scipy.sparse.csr_matrix":
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
        if self.linearised:
            v = self.lift(variables, parameters)
            value, gradient = self._full_gradient(v, parameters)
            return value, self._tangents(v, parameters).T @ gradient
        lifted, pull_back = self.elimination.lift_with_adjoint(variables[None], parameters)
        self.memory.keep("lift", variables, parameters, lifted[0])
        value, gradient = self._full_gradient(lifted[0], parameters)
        reduced: FloatArray = pull_back(gradient[None])[0]
        return value, reduced

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled constraint rows `(row_count,)`."""
        return self.full.rows(self.lift(variables, parameters), parameters)[self.row_places]

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the scaled rows and the nonzeros of their Jacobian in the order of `jacobian_pattern`."""
        self.linearised = True
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
        self.linearised = True
        v = self.lift(variables, parameters)
        every = np.zeros(self.full.row_count)
        every[self.row_places] = multipliers
        if exact:
            self._add_multipliers(every, v, cost_factor, parameters)
        tangents = self._tangents(v, parameters)
        hessian = self._symmetric(self.full.hessian(v, cost_factor, every, parameters, exact))
        return _values(self.hessian_pattern, scipy.sparse.triu(tangents.T @ hessian @ tangents))

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
        full: FloatArray = self.elimination.lift_array(variables[None], parameters)[0]
        return full

    def _tangents(self, full: FloatArray, parameters: Parameters) -> "scipy.sparse.csr_matrix":
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

    def _sparse(self, pattern: Pattern, values: FloatArray, rows: bool) -> "scipy.sparse.csr_matrix":
        height = self.full.row_count if rows else self.full.size
        return scipy.sparse.csr_matrix((values, (pattern.rows, pattern.columns)), shape=(height, self.full.size))

    def _symmetric(self, values: FloatArray) -> "scipy.sparse.csr_matrix":
        upper = self._sparse(self.full.hessian_pattern, values, rows=False)
        return upper + scipy.sparse.triu(upper, 1).T


def _pattern(matrix: "scipy.sparse.spmatrix") -> Pattern:
    entries = matrix.tocoo()
    return Pattern.of(entries.row.astype(np.int64), entries.col.astype(np.int64))


def _values(pattern: Pattern, matrix: "scipy.sparse.spmatrix") -> FloatArray:
    """Return the entries of a matrix in the order of a pattern that holds them all."""
    entries = matrix.tocoo()
    stride = int(pattern.rows.max(initial=0)) + 1
    places = np.searchsorted(
        pattern.columns * stride + pattern.rows, entries.col.astype(np.int64) * stride + entries.row
    )
    values = np.zeros(len(pattern.rows))
    np.add.at(values, places, entries.data)
    return values
