"""Pictures of a plan in pixels, one knot after the other."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from trajopt_sgp.errors import ShapeError
from trajopt_sgp.files import write_atomically

_SIDE = 224
_GAP = 12
_TITLE = 26


def animate_pictures(rows: Mapping[str, ArrayLike], path: Path, milliseconds: int = 250) -> Path:
    """Write a GIF of pictures `(K, r²)` side by side, a frame for each knot, and return its path.

    Rows that end early stay at their last picture.

    Raises:
        ShapeError: no rows, or pictures that are not square.
    """
    strips = {label: np.asarray(pictures, dtype=np.float64) for label, pictures in rows.items()}
    if not strips or any(s.ndim != 2 or round(s.shape[1] ** 0.5) ** 2 != s.shape[1] for s in strips.values()):
        raise ShapeError("An animation needs rows of square pictures (K, r²).")
    frames = [_frame(strips, knot) for knot in range(max(map(len, strips.values())))]
    durations = [milliseconds] * (len(frames) - 1) + [5 * milliseconds]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return path


def _frame(strips: Mapping[str, np.ndarray], knot: int) -> Image.Image:
    page = Image.new("L", (len(strips) * (_SIDE + _GAP) + _GAP, _SIDE + _TITLE + _GAP), 250)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, (label, pictures) in enumerate(strips.items()):
        picture = pictures[min(knot, len(pictures) - 1)]
        side = round(len(picture) ** 0.5)
        levels = (255.0 * picture.clip(0.0, 1.0)).astype(np.uint8).reshape(side, side)
        left = _GAP + column * (_SIDE + _GAP)
        page.paste(Image.fromarray(levels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (left, _TITLE))
        pen.text((left, 6), f"{label}, {knot}" if column == 0 else label, 30, font)
    return page
