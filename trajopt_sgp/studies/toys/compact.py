"""Arrays in JSON on one line each, so that results stay readable and small."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray

_DIGITS = 4


def pack_array(values: ArrayLike) -> dict[str, Any]:
    """Return an array as its shape and its numbers as text, with four significant digits."""
    array = np.asarray(values, dtype=np.float64)
    return {"shape": list(array.shape), "numbers": " ".join(f"{value:.{_DIGITS}g}" for value in array.ravel())}


def unpack_array(document: Mapping[str, Any]) -> FloatArray:
    """Return the array of `pack_array`."""
    return np.array(document["numbers"].split(), dtype=np.float64).reshape(document["shape"])
