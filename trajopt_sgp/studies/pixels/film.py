"""Pictures of a plan among plain values, so that film strips can be drawn from results alone."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.viz import plot_film_strip

_FRAMES = 10
"""What fits beside each other at the width of a page."""


def pack_pictures(pictures: ArrayLike) -> str:
    """Return pictures `(K, r²)` in [0, 1] as text, a byte for each pixel before compression."""
    levels = np.rint(255.0 * np.clip(np.asarray(pictures, dtype=np.float64), 0.0, 1.0)).astype(np.uint8)
    return base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")


def unpack_pictures(text: str, count: int) -> FloatArray:
    """Return the `count` pictures `(count, r²)` of such a text."""
    levels = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return levels.reshape(count, -1) / 255.0


def draw_film(world: PixelWorld, result: Mapping[str, Any], title: str) -> Figure:
    """Draw what the plan of a result imagines, where the true point is, and the controls, at some of the knots."""
    path = np.array(result["path"])
    rows: dict[str, ArrayLike] = {
        "imagined": unpack_pictures(result["film"]["states"], len(path)),
        "true": world.state_picture(path),
        "controls": unpack_pictures(result["film"]["controls"], len(path) - 1),
    }
    hole = world.hole / world.state_images.extent
    every = max(2, -(-(len(path) - 1) // _FRAMES))
    return plot_film_strip(rows, title, hole=hole, knots=range(0, len(path), every))
