"""From stage terms to the sparse derivatives of a nonlinear program.

Sparsity patterns are made once from the index maps; every evaluation is one batched call per term whose blocks are
scattered by precomputed positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.stage_term import Parameters, StageTerm
from trajopt_sgp.derivatives.term_blocks import TermBlocks


@dataclass(frozen=True)
class Pattern:
    """Positions of the nonzeros of a sparse matrix, and where the entries of the blocks go.

    Entries of different blocks that fall on one position are summed.
    """

    rows: IntArray
    """Row of each nonzero, `(nnz,)`; column by column."""
    columns: IntArray
    """Column of each nonzero, `(nnz,)`, ascending."""
    position: IntArray
    """Nonzero to which each entry of the concatenated blocks is added."""

    @classmethod
    def of(cls, rows: IntArray, columns: IntArray) -> "Pattern":
        """Make the pattern of entries at `rows`, `columns`, repeats allowed."""
        stride = int(rows.max(initial=0)) + 1
        unique, position = np.unique(columns * stride + rows, return_inverse=True)
        return cls(unique % stride, unique // stride, position)

    def assemble(self, entries: Sequence[FloatArray]) -> FloatArray:
        """Return the nonzeros `(nnz,)` from the entries of all blocks."""
        if not entries:
            return np.zeros(len(self.rows))
        nonzeros: FloatArray = np.bincount(self.position, np.concatenate(entries), len(self.rows)).astype(
            np.float64, copy=False
        )
        return nonzeros


@dataclass(eq=False)
class Assembly:
    """Objective, constraints and their sparse derivatives for scaled variables w `(size,)`, in float64.

    It remembers the last point, since solvers ask for one derivative after the other there.
    """

    size: int
    """Number of decision variables."""
    costs: Sequence[StageTerm]
    """Their values are summed."""
    constraints: Sequence[StageTerm]
    """Their rows are concatenated, instance by instance."""
    row_offsets: tuple[int, ...] = field(init=False)
    """First row of each constraint term."""
    row_count: int = field(init=False)
    """Number of constraint rows."""
    backends: Mapping[int, TermBlocks] = field(init=False)
    """Derivatives of each term that has any, by identity."""
    residuals: Mapping[int, TermBlocks] = field(init=False)
    """Those of the residuals of costs that are squares."""
    point: "Point" = field(init=False)
    """Where derivatives were asked for last."""

    def __post_init__(self) -> None:
        terms = (*self.costs, *self.constraints)
        blocks = {
            id(term): TermBlocks(term.function, term.numbers, not term.whole_plan, term.name)
            for term in terms
            if term.function is not None
        }
        residuals = {
            id(t): TermBlocks(t.residual, t.numbers, name=t.name) for t in self.costs if t.residual is not None
        }
        self.backends, self.residuals, self.point = blocks, residuals, Point(np.zeros(0))
        counts = [term.instances * term.rows for term in self.constraints]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.row_offsets, self.row_count = tuple(int(i) for i in offsets[:-1]), int(offsets[-1])

    # what grows with the square of a term's variables is made when it is asked for: first-order solvers never do

    @cached_property
    def jacobian_pattern(self) -> Pattern:
        """Nonzeros of the Jacobian of the constraints."""
        return self._jacobian_pattern()

    @cached_property
    def hessian_pattern(self) -> Pattern:
        """Nonzeros of the upper triangle of the Hessian of the Lagrangian."""
        return self._hessian_pattern()

    @cached_property
    def cost_variables(self) -> IntArray:
        """Variable of every entry of the gradients of the costs, one term after the other."""
        return np.concatenate([np.zeros(0, np.int64), *(term.index.ravel() for term in self.costs)])

    @cached_property
    def triangles(self) -> Mapping[int, "Triangle"]:
        """Where the Hessian of each term that has derivatives goes, by identity."""
        return {id(t): Triangle(t) for t in (*self.costs, *self.constraints) if t.function is not None}

    @cached_property
    def linear_entries(self) -> Mapping[int, FloatArray]:
        """Entries of the Jacobian that never change, of each term that has any."""
        return {id(term): _linear_entries(term) for term in self.constraints if term.linear is not None}

    def objective(self, variables: FloatArray, parameters: Parameters) -> float:
        """Return the sum of the costs."""
        at = self._at(variables)
        return float(sum(float(self._blocks(t).value(at(t), parameters).sum()) for t in self.costs))

    def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        """Return the objective and its gradient `(size,)`."""
        at, total, entries = self._at(variables), 0.0, [np.zeros(0)]
        for term in self.costs:
            value, blocks = self._blocks(term).jacobian(at(term), parameters)
            total += float(value.sum())
            entries.append((blocks * term.scale).ravel())
        # of no entries at all it counts in whole numbers
        gradient = np.bincount(self.cost_variables, np.concatenate(entries), self.size).astype(np.float64, copy=False)
        return total, gradient

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled constraint rows `(row_count,)`."""
        at, parts = self._at(variables), [np.zeros(0)]
        for term in self.constraints:
            value = None if term.function is None else self._blocks(term).value(at(term), parameters)
            parts.append(_scaled_rows(term, value, variables))
        return np.concatenate(parts)

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the scaled rows and the nonzeros of their Jacobian in the order of `jacobian_pattern`."""
        at, rows, entries = self._at(variables), [np.zeros(0)], []
        for term in self.constraints:
            value = None
            if term.function is not None:
                value, blocks = self._blocks(term).jacobian(at(term), parameters)
                entries.append((term.row_scale[:, None] * term.scale * blocks).ravel())
            rows.append(_scaled_rows(term, value, variables))
            if term.linear is not None:
                entries.append(self.linear_entries[id(term)])
        return np.concatenate(rows), self.jacobian_pattern.assemble(entries)

    def blocks(self, term: StageTerm, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the scaled Jacobian blocks `(K, r, d)` of the nonlinear part of a constraint."""
        blocks = self._blocks(term).jacobian(self._at(variables)(term), parameters)[1]
        scaled: FloatArray = term.row_scale[:, None] * blocks * term.scale
        return scaled

    def hessian(
        self,
        variables: FloatArray,
        cost_factor: float,
        multipliers: FloatArray,
        parameters: Parameters,
        exact: bool = True,
    ) -> FloatArray:
        """Return the nonzeros of the Hessian of cost_factor * objective + multipliers . rows, upper triangle.

        Without `exact` it is that of Gauss and Newton: costs that are squares of residuals give the product of their
        Jacobians, other costs their own Hessian, and constraints nothing.
        """
        at = self._at(variables)
        entries = [self._cost_hessian(term, at(term), cost_factor, parameters, exact) for term in self.costs]
        for term, offset in zip(self.constraints, self.row_offsets, strict=True):
            if term.function is None:
                continue
            part = multipliers[offset : offset + term.instances * term.rows].reshape(term.instances, term.rows)
            weights = part * term.row_scale
            triangle = self.triangles[id(term)]
            blocks = self._blocks(term)
            entries.append(
                triangle.entries(blocks.hessian(at(term), weights, parameters)) if exact else triangle.zeros()
            )
        return self.hessian_pattern.assemble(entries)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper bounds of the scaled rows, `(row_count,)` each."""
        sides = []
        for side in ("lower", "upper"):
            parts = [np.tile(term.row_scale * getattr(term, side), term.instances) for term in self.constraints]
            sides.append(np.concatenate([np.zeros(0), *parts]))
        return sides[0], sides[1]

    def row_unscale(self) -> FloatArray:
        """Return the factor that turns a scaled row back into its own units, `(row_count,)`."""
        return np.concatenate([np.zeros(0), *(np.tile(1.0 / t.row_scale, t.instances) for t in self.constraints)])

    def row_name(self, row: int) -> tuple[str, int]:
        """Return the name and the knot of a constraint row."""
        which = int(np.searchsorted(self.row_offsets, row, side="right")) - 1
        term = self.constraints[which]
        return term.row_name(*divmod(row - self.row_offsets[which], term.rows))

    def describe_backends(self) -> dict[str, str]:
        """Return which backend computes the derivatives of each term, and why."""
        terms = (*self.costs, *self.constraints)
        return {term.name: self._backend(term) for term in terms if id(term) in self.backends}

    def _backend(self, term: StageTerm) -> str:
        """Return the backend of a term, and that of its residual where it has been differentiated."""
        own, residual = self.backends[id(term)].backend, self.residuals.get(id(term))
        if residual is None or residual.backend == TermBlocks.backend:
            return own
        return f"{own}; of its residual: {residual.backend}"

    def cost_values(self, variables: FloatArray, parameters: Parameters) -> dict[str, float]:
        """Return the costs by term at a point where `holds` is true, fast."""
        at = self._at(variables)
        return {t.name: float(self._blocks(t).verified_value(at(t), parameters).sum()) for t in self.costs}

    def recheck(self) -> None:
        """Begin another solve, for which functions may have changed."""
        for blocks in (*self.backends.values(), *self.residuals.values()):
            blocks.recheck()

    def holds(self, variables: FloatArray, parameters: Parameters) -> bool:
        """Return whether every trace still is the function, at points `(P, size)` that a solver has found."""
        return all(
            self._blocks(term).holds(term.scale * variables[:, term.index], parameters)
            for term in (*self.costs, *self.constraints)
            if term.function is not None
        )

    def trace(self, variables: FloatArray, parameters: Parameters) -> None:
        """Trace every term now, instead of when it is first differentiated."""
        at = self._at(variables)
        for term in (*self.costs, *self.constraints):
            if term.function is not None:
                self._blocks(term).trace(at(term), parameters)

    def _blocks(self, term: StageTerm) -> TermBlocks:
        return self.backends[id(term)]

    def _at(self, variables: FloatArray) -> "Point":
        """Return the variables of all terms at a point, those of the last one where it is the same."""
        if not self.point.is_at(variables):
            self.point = Point(variables)
        return self.point

    def _cost_hessian(
        self, term: StageTerm, z: FloatArray, factor: float, parameters: Parameters, exact: bool
    ) -> FloatArray:
        triangle = self.triangles[id(term)]
        if exact or term.residual is None:
            constant = self._blocks(term).constant_hessian(z, parameters)
            if constant is not None:
                return factor * triangle.kept_entries(constant)
            weights = np.full(term.instances, factor)
            return triangle.entries(self._blocks(term).hessian(z, weights, parameters))
        jacobian = self.residuals[id(term)].jacobian(z, parameters)[1]
        return triangle.entries(factor * jacobian.swapaxes(1, 2) @ jacobian)

    def _jacobian_pattern(self) -> Pattern:
        rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for term, offset in zip(self.constraints, self.row_offsets, strict=True):
            row = offset + np.arange(term.instances * term.rows).reshape(term.instances, term.rows)
            if term.function is not None:
                shape = (term.instances, term.rows, term.index.shape[1])
                rows.append(np.broadcast_to(row[..., None], shape).ravel())
                columns.append(np.broadcast_to(term.index[:, None, :], shape).ravel())
            if term.linear is not None:
                _, first, second = term.linear.entries()
                rows.append(row[:, first].ravel())
                columns.append(term.linear.index[:, second].ravel())
        return Pattern.of(np.concatenate(rows), np.concatenate(columns))

    def _hessian_pattern(self) -> Pattern:
        rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for term in (*self.costs, *self.constraints):
            if term.function is not None:
                rows.append(self.triangles[id(term)].rows)
                columns.append(self.triangles[id(term)].columns)
        return Pattern.of(np.concatenate(rows), np.concatenate(columns))


def _scaled_rows(term: StageTerm, values: FloatArray | None, variables: FloatArray) -> FloatArray:
    total = np.zeros((term.instances, term.rows)) if values is None else values
    if term.linear is not None:
        total = total + term.linear.rows(variables)
    scaled: FloatArray = (term.row_scale * total).ravel()
    return scaled


def _linear_entries(term: StageTerm) -> FloatArray:
    if term.linear is None:
        return np.zeros(0)
    values, rows, _ = term.linear.entries()
    scaled: FloatArray = (values * term.row_scale[rows]).ravel()
    return scaled


class Point:
    """The variables of every term at one point, gathered when they are first asked for."""

    def __init__(self, variables: FloatArray) -> None:
        self.variables = variables.copy()
        self._seen = variables.tobytes()
        self._gathered: dict[int, FloatArray] = {}

    def is_at(self, variables: FloatArray) -> bool:
        """Return whether these are its variables, to the last bit."""
        return variables.tobytes() == self._seen

    def __call__(self, term: StageTerm) -> FloatArray:
        """Return z `(K, d)` in the units of the problem; the same array every time."""
        z = self._gathered.get(id(term))
        if z is None:
            z = self._gathered[id(term)] = self.variables.take(term.index) * term.scale
        return z


class Triangle:
    """How the Hessian blocks of a term go into the upper triangle of the program's Hessian."""

    def __init__(self, term: StageTerm) -> None:
        d = int(term.index.shape[1])
        first, second = np.triu_indices(d)
        # a pair of variables stands twice in the symmetric block, once above the diagonal of the program's Hessian;
        # two places of one instance may be one variable: then both halves of the block fall on the diagonal
        twice = (term.index[:, first] == term.index[:, second]) & (first != second)
        self.place = first * d + second
        self.factor: FloatArray = term.scale[first] * term.scale[second] * np.where(twice, 2.0, 1.0)
        left, right = term.index[:, first].ravel(), term.index[:, second].ravel()
        self.rows, self.columns = np.minimum(left, right), np.maximum(left, right)
        self._kept: tuple[FloatArray, FloatArray] | None = None

    def kept_entries(self, blocks: FloatArray) -> FloatArray:
        """Return the entries of blocks that are the same array as before, nearly always."""
        if self._kept is None or self._kept[0] is not blocks:
            self._kept = blocks, self.entries(blocks)
        return self._kept[1]

    def entries(self, blocks: FloatArray) -> FloatArray:
        """Return the scaled entries of blocks `(K, d, d)`, one after the other."""
        flat = blocks.reshape(len(blocks), -1)
        scaled: FloatArray = (flat[:, self.place] * self.factor).ravel()
        return scaled

    def zeros(self) -> FloatArray:
        """Return the entries of blocks of zeros."""
        return np.zeros(self.factor.size)
