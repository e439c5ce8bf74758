"""Plain points as transitions that stay put: how a density that knows no system reaches the same models."""

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import ShapeError


def points_as_transitions(points: ArrayLike, name: str, control_size: int = 0) -> Transitions:
    """Return points `(K, n)` as transitions that stay where they are, under controls of no coordinates, `(K, 0)`.

    Score and energy networks and the exact smoothed distance then model the density of the points themselves, z = x.
    Their methods that take a control take one of shape `(..., 0)`. Every point is an episode of its own.

    Args:
        points: at least one row, finite.
        name: of the dataset.
        control_size: m, how many of the last coordinates are controls after all, `(K, n + m)`.

    Raises:
        ShapeError: the points are no matrix `(K, n + m)` with K > 0 and n > 0.
        NotFiniteError: NaN or infinity.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape or not 0 <= control_size < array.shape[1]:
        columns = f"n + {control_size}" if control_size else "n"
        raise ShapeError(f"Points have shape (K, {columns}) with K > 0 and n > 0, not {array.shape}.")
    count, size = len(array), array.shape[1] - control_size
    states = array[:, :size]
    arrays: dict[str, AnyArray] = {
        "states": states,
        "controls": array[:, size:],
        "next_states": states,
        "episodes": np.arange(count, dtype=np.int64),
        "terminated": np.zeros(count, dtype=np.bool_),
    }
    states_bounds, controls_bounds = ((np.full(k, -np.inf), np.full(k, np.inf)) for k in (size, control_size))
    info = describe_dataset(name, arrays, states_bounds, controls_bounds)
    return Transitions(**arrays, dataset=info)
