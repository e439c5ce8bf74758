"""Film strips of plans in pixels."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.viz.style import FAINT, INK, PALETTE, add_heading, new_figure, styled

_FRAME = 0.72
_CURVE_HEIGHT = 1.1
_SIDE = 1.0


@styled
def plot_film_strip(
    rows: Mapping[str, ArrayLike],
    title: str,
    distances: ArrayLike | None = None,
    hole: float = 0.0,
    knots: Sequence[int] | None = None,
) -> Figure:
    """Draw pictures along a plan, one row for each kind, one column for each knot; below them the distance to data.

    Args:
        rows: pictures `(K, r²)` by label, of states `(N+1, r²)` and of controls `(N, r²)`; bright is 1.
        title: of the figure.
        distances: to data at the knots 0..N-1, `(N,)`; nothing is drawn below the pictures without them.
        hole: radius of a circle in the middle of the pictures of states, as a share of half a picture; 0 for none.
        knots: which are shown; all if not given.

    Raises:
        ShapeError: pictures that are not square, or no rows.
    """
    strips = {label: _square(label, pictures) for label, pictures in rows.items()}
    if not strips:
        raise ShapeError("A film strip needs at least one row of pictures.")
    longest = max(map(len, strips.values()))
    shown = range(longest) if knots is None else knots
    below = 0.0 if distances is None else _CURVE_HEIGHT
    figure = new_figure(_SIDE + _FRAME * len(shown), _FRAME * len(strips) + below + 0.75)
    heights = [_FRAME] * len(strips) + ([below] if below else [])
    grid = figure.add_gridspec(len(heights), len(shown), height_ratios=heights)
    for row, (label, pictures) in enumerate(strips.items()):
        for column, knot in enumerate(shown):
            axes = figure.add_subplot(grid[row, column])
            _draw_frame(
                axes, pictures[knot] if knot < len(pictures) else None, hole if len(pictures) == longest else 0.0
            )
            if row == 0:
                axes.set_title(str(knot), loc="center", fontsize=8.0, color=FAINT, fontweight="normal", pad=2.0)
            if column == 0:
                axes.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=6.0)
    if distances is not None:
        _draw_distances(figure.add_subplot(grid[len(strips), :]), np.asarray(distances), list(shown))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.0, hspace=0.0)  # type: ignore[union-attr, call-arg]
    add_heading(figure, title)
    return figure


def _square(label: str, pictures: ArrayLike) -> FloatArray:
    values = np.asarray(pictures, dtype=np.float64)
    side = round(values.shape[-1] ** 0.5) if values.ndim == 2 else 0
    if side == 0 or values.shape[1] != side**2:
        raise ShapeError(f"Row {label!r} of a film strip holds pictures (K, r²), not {values.shape}.")
    return values.reshape(-1, side, side)


def _draw_frame(axes: Axes, picture: FloatArray | None, hole: float) -> None:
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    if picture is None:
        axes.set_visible(False)
        return
    axes.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    for spine in axes.spines.values():
        spine.set(visible=True, color="white", linewidth=0.5)
    if hole > 0.0:
        middle, angle = 0.5 * (len(picture) - 1), np.linspace(0.0, 2.0 * np.pi, 60)
        radius = 0.5 * hole * len(picture)
        axes.plot(middle + radius * np.cos(angle), middle + radius * np.sin(angle), color=PALETTE[5], lw=0.7)


def _draw_distances(axes: Axes, distances: FloatArray, shown: list[int]) -> None:
    axes.bar(np.arange(len(distances)), distances, width=0.6, color=PALETTE[0])
    axes.set_xlim(shown[0] - 0.5, shown[-1] + 0.5)
    axes.set_xticks(shown)
    axes.set_ylabel("distance\nto data", rotation=0, ha="right", va="center", color=INK)
    axes.set_ylim(bottom=0.0)
