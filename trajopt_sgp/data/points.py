"""Plain points as transitions without controls: how a density that knows no system reaches the same models."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import ShapeError


def points_as_transitions(points: ArrayLike, name: str) -> Transitions:
    """Return points `(K, n)` as transitions that stay where they are, under controls of no coordinates, `(K, 0)`.

    Score and energy networks and the exact smoothed distance then model the density of the points themselves, z = x.
    Their methods that take a control take one of shape `(..., 0)`. Every point is an episode of its own.

    Args:
        points: at least one row, finite.
        name: of the dataset.

    Raises:
        ShapeError: the points are no matrix `(K, n)` with K > 0 and n > 0.
        NotFiniteError: NaN or infinity.
    """
    states = np.asarray(points, dtype=np.float64)
    if states.ndim != 2 or 0 in states.shape:
        raise ShapeError(f"Points have shape (K, n) with K > 0 and n > 0, not {states.shape}.")
    count, size = states.shape
    arrays: dict[str, NDArray[Any]] = {
        "states": states,
        "controls": np.zeros((count, 0)),
        "next_states": states,
        "episodes": np.arange(count, dtype=np.int64),
        "terminated": np.zeros(count, dtype=np.bool_),
    }
    unbounded = np.full(size, -np.inf), np.full(size, np.inf)
    info = describe_dataset(name, arrays, unbounded, (np.zeros(0), np.zeros(0)))
    return Transitions(**arrays, dataset=info)
