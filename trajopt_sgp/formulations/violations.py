"""What is violated, by the names that users gave: rows by term, variables by their label and knot."""

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.problem import OptimalControlProblem, Row

Place = tuple[str, float]
"""Name of a variable, and where it is, in intervals; -1 for what has no place."""


def variable_places(layout: Layout, problem: OptimalControlProblem, size: int) -> list[Place]:
    """Return the places of all variables of a transcription."""
    places = [(f"slack variable {i}", -1.0) for i in range(size)]
    if layout.duration is not None:
        places[layout.duration] = ("the duration", -1.0)
    for group, labels in ((layout.controls, problem.control_labels), (layout.states, problem.state_labels)):
        for fraction, index in sorted(group.items(), reverse=True):
            for knot in range(len(index) - 1, -1, -1):
                for label, place in zip(labels, index[knot], strict=True):
                    places[int(place)] = (label, knot + fraction)
    return places


class Violations(Sequence[Row]):
    """What is violated at all, largest first; a row gets its name when it is looked at.

    At a solution every equation misses by a rounding error, and nobody asks for the names of hundreds of those.

    Args:
        excess: by how much each row or bound is violated, 0 where it holds; NaN counts as infinite.
        name: place in `excess` to name and knot.
    """

    def __init__(self, excess: FloatArray, name: Callable[[int], tuple[str, int]]) -> None:
        amounts = np.nan_to_num(excess, nan=np.inf)
        found = np.flatnonzero(amounts > 0.0)
        self._order = found[np.argsort(-amounts[found], kind="stable")]
        self._amounts, self._name = amounts[self._order], name

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        """Return a row, or some of them."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        return Row(*self._name(int(self._order[index])), float(self._amounts[index]))

    def __eq__(self, other: object) -> bool:
        """Return whether another sequence holds the same rows."""
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))


def bound_name(place: Place, control_labels: Sequence[str]) -> tuple[str, int]:
    """Return the name and the knot of a bound of a variable."""
    name, at = place
    kind = "control_bounds" if name in control_labels else "state_bounds"
    return f"{kind}[{name}]", int(max(at, 0.0))
