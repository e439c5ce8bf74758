"""Moving multipliers with a plan, when a receding horizon goes on by one interval."""

from collections.abc import Mapping, Sequence

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.formulations.program import NonlinearProgram


class MultiplierShift:
    """Gives every row and variable the multiplier of the one a knot later; the last of each name keeps its own.

    Args:
        program: whose multipliers are moved.
    """

    def __init__(self, program: NonlinearProgram) -> None:
        rows = [program.assembly.row_name(row) for row in range(program.assembly.row_count)]
        self._rows = _successors(rows)
        self._variables = _successors([program.variable_place(k) for k in range(program.size)])

    def __call__(self, multipliers: Mapping[str, FloatArray]) -> Mapping[str, FloatArray]:
        """Return multipliers `constraints` and `bounds`, moved."""
        moved = dict(multipliers)
        for name, places in (("constraints", self._rows), ("bounds", self._variables)):
            if name in moved:
                moved[name] = moved[name][places]
        return moved


def _successors(names: Sequence[tuple[str, int | float]]) -> IntArray:
    # knots between those of the mesh are sums, which rounding makes differ
    places = {(name, round(knot, 9)): place for place, (name, knot) in enumerate(names)}
    after = [places.get((name, round(knot + 1, 9)), place) for place, (name, knot) in enumerate(names)]
    return np.array(after, dtype=np.int64)
