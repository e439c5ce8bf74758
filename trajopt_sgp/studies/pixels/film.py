"""Pictures of a plan among plain values, so that film strips can be drawn from results alone."""

import base64
import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def pack_pictures(pictures: ArrayLike) -> str:
    """Return pictures `(K, r²)` in [0, 1] as text, a byte for each pixel before compression."""
    levels = np.rint(255.0 * np.clip(np.asarray(pictures, dtype=np.float64), 0.0, 1.0)).astype(np.uint8)
    return base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")


def unpack_pictures(text: str, count: int) -> FloatArray:
    """Return the `count` pictures `(count, r²)` of such a text."""
    levels = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return levels.reshape(count, -1) / 255.0
