"""What is violated, by the names that users gave: rows by term, variables by their label and knot."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.problem import OptimalControlProblem, Row

FloatArray = NDArray[np.float64]
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


def violated_rows(
    values: FloatArray, limits: tuple[FloatArray, FloatArray], units: FloatArray, name: Callable[[int], tuple[str, int]]
) -> list[Row]:
    """Return the rows whose scaled values `(row_count,)` are outside their limits, in their own units."""
    excess = np.nan_to_num(_excess(values, *limits) * units, nan=np.inf)
    return [Row(*name(int(i)), float(excess[i])) for i in np.flatnonzero(excess > 0.0)]


def violated_bounds(
    variables: FloatArray,
    bounds: tuple[FloatArray, FloatArray],
    scale: FloatArray,
    places: Sequence[Place],
    control_labels: Sequence[str],
) -> list[Row]:
    """Return the scaled variables `(size,)` that are outside their bounds, in the units of the problem."""
    excess = _excess(variables, *bounds) * scale
    found = []
    for i in np.flatnonzero(excess > 0.0):
        name, at = places[int(i)]
        kind = "control_bounds" if name in control_labels else "state_bounds"
        found.append(Row(f"{kind}[{name}]", int(max(at, 0.0)), float(excess[i])))
    return found


def _excess(values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    found: FloatArray = np.maximum(np.maximum(lower - values, values - upper), 0.0)
    return found
