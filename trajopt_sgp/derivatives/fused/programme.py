"""A step in flat arrays, as the compiled loops take it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trajopt_sgp.arrays import AnyArray, IntArray


@dataclass(frozen=True, eq=False)
class StepProgramme:
    """Operations in order, on a workspace whose first `n + q` entries are state and input."""

    table: IntArray
    """One row for each operation, columns as in `codes`."""
    numbers: AnyArray
    """Weights and constants, in the precision of the step."""
    places: IntArray
    """Rows and columns of sparse matrices, in pairs."""
    result: int
    """Offset of the next state in the workspace."""
    work_size: int
    """Entries of the workspace of a row."""
    record_size: int
    """Entries that the adjoint of a row and step needs."""
    state_size: int
    """Entries of the state n."""
    input_size: int
    """Entries of the input q."""
    largest_product: int
    """Entries of the largest matrix that multiplies."""
    spare: list[AnyArray] = field(default_factory=list)
    """Records that are no longer needed: memory that was touched before is faster."""

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        """What the loops take of it."""
        return self.table, self.numbers, self.places, self.result
