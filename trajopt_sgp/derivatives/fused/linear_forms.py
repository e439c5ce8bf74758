"""Values that are linear in others, kept as matrices until something nonlinear needs them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# A matrix is full if this share of it is not zero, or this many entries in a row.
_FULL_SHARE, _FULL_ROW = 0.5, 4
# So many products take as long as one more operation.
_FEW = 128


@dataclass(frozen=True, eq=False)
class LinearForm:
    """Sum over bases of base @ matrix, plus an offset."""

    terms: Mapping[int, Tensor | None]
    """Offset of a base in the workspace to its matrix `(base size, size)`, or None for the base itself."""
    offset: Tensor
    """`(size,)`."""

    @property
    def dense(self) -> bool:
        """Whether evaluating it takes a product with a full matrix."""
        return any(matrix is not None and is_dense(matrix) for matrix in self.terms.values())

    def spares_products(self, columns: int) -> bool:
        """Return whether it is better evaluated than folded into a layer of so many columns.

        As where it is the sum of several bases, each of which would be multiplied.
        """
        spared = sum(len(self.matrix(base)) for base in self.terms) - self.size
        return spared * columns > _FEW + sum(int(self.matrix(base).count_nonzero()) for base in self.terms)

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self.offset)

    @property
    def alias(self) -> int | None:
        """Offset of the base that it is, or None."""
        (start, *others) = self.terms
        same = not others and self.terms[start] is None and not bool(self.offset.any())
        return start if same else None

    def times(self, weight: Tensor, bias: Tensor | None) -> "LinearForm":
        """Return form @ weight + bias."""
        terms = {base: weight if matrix is None else matrix @ weight for base, matrix in self.terms.items()}
        offset = self.offset @ weight
        return LinearForm(terms, offset if bias is None else offset + bias)

    def scaled(self, factor: Tensor) -> "LinearForm":
        """Return form * factor, entry by entry."""
        terms = {base: self.matrix(base) * factor for base in self.terms}
        return LinearForm(terms, self.offset * factor)

    def plus(self, other: "LinearForm", factor: float) -> "LinearForm":
        """Return form + factor * other."""
        terms = dict(self.terms)
        for base in other.terms:
            added = factor * other.matrix(base)
            terms[base] = self.matrix(base) + added if base in terms else added
        return LinearForm(terms, self.offset + factor * other.offset)

    def at(self, columns: Tensor) -> "LinearForm":
        """Return the entries at some places, repetitions allowed."""
        if len(columns) == self.size and torch.equal(columns, torch.arange(self.size)):
            return self
        return LinearForm({base: self.matrix(base)[:, columns] for base in self.terms}, self.offset[columns])

    def put(self, columns: Tensor, size: int) -> "LinearForm":
        """Return a form of another size that holds this one at some places, and zero elsewhere."""
        terms: dict[int, Tensor | None] = {}
        for base in self.terms:
            matrix = self.matrix(base)
            terms[base] = matrix.new_zeros(len(matrix), size).index_copy(1, columns, matrix)
        return LinearForm(terms, self.offset.new_zeros(size).index_copy(0, columns, self.offset))

    def matrix(self, base: int) -> Tensor:
        """Return the matrix of a base."""
        matrix = self.terms[base]
        return torch.eye(self.size, dtype=torch.float64) if matrix is None else matrix


def is_dense(matrix: Tensor) -> bool:
    """Return whether a matrix is better multiplied in full than entry by entry."""
    return int(matrix.count_nonzero()) > min(_FULL_SHARE * matrix.numel(), _FULL_ROW * max(matrix.shape))


def is_diagonal(matrix: Tensor) -> bool:
    """Return whether a matrix scales entries that stay where they are."""
    rows, columns = matrix.shape
    return rows == columns and torch.equal(matrix, torch.diag(matrix.diagonal()))
