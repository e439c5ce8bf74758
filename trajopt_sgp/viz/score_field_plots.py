"""Fields of arrows: where the gradient of a distance to data sends points of a plane, for each noise level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models import TransitionModel
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.uncertainty import GradientModel
from trajopt_sgp.viz.style import (
    FAINT,
    Bounds,
    add_heading,
    key_marker,
    legend_below,
    name_axes,
    new_figure,
    panel_grid,
    styled,
)

_COLOURS = "viridis_r"
_SHARE_OF_SPACING = 0.9


@dataclass(frozen=True, eq=False)
class ScoreField:
    """The steps -∇d_σ of a model at points of a plane."""

    label: str
    """Which model."""
    sigma: float
    """Noise level, in normalised units."""
    points: ArrayLike
    """Where the steps begin, a square grid in raw units, `(k², 2)`."""
    steps: ArrayLike
    """The steps in raw units, `(k², 2)`."""
    lengths: ArrayLike
    """Their lengths in normalised units, `(k²,)`."""


def sample_score_field(
    label: str, model: GradientModel, sigma: float, box: Bounds, control: Sequence[float] = (), arrows: int = 19
) -> ScoreField:
    """Return the step -∇d_σ = σ² ∇log p_σ of a model with two states on a grid of the plane.

    Args:
        label: name of the model.
        model: score network, energy network or closed form.
        sigma: noise level.
        box: lower and upper corner of the plane in raw units, numbers or `(2,)`.
        control: at which the field of (x, u) is cut, `(m,)`; empty for data without controls.
        arrows: number of points along each side.

    Raises:
        OptionError: σ is outside the model's range.
        ShapeError: the model has another number of states than two, or of controls than are given.
    """
    if not isinstance(model, TransitionModel) or model.state_size != 2:
        raise ShapeError(f"{label}: a field of arrows needs a model of transitions with two states.")
    low, high = (np.broadcast_to(np.asarray(side, dtype=np.float64), (2,)) for side in box)
    points = np.stack(np.meshgrid(*np.linspace(low, high, arrows).T), axis=-1).reshape(-1, 2)
    controls = np.broadcast_to(np.asarray(control, dtype=np.float64), (len(points), np.size(control)))
    dtype = parameter_dtype(model)
    with torch.no_grad():
        z = model.normalize(torch.tensor(points, dtype=dtype), torch.tensor(controls, dtype=dtype))
        step = -model.distance_gradient(z, sigma)[:, :2].double().numpy()
    return ScoreField(label, sigma, points, step * model.normalizer.scale[:2], np.linalg.norm(step, axis=1))


def plot_score_field(
    models: Mapping[str, GradientModel],
    sigmas: Sequence[float],
    box: Bounds,
    control: Sequence[float] = (),
    data: ArrayLike | None = None,
    title: str = "Where the score sends points of the plane",
    names: tuple[str, str] = ("x", "y"),
) -> Figure:
    """Draw the fields of models with two states, one row per model and one column per noise level.

    Args:
        models: by label, for example a score network and the closed form beside it.
        sigmas: noise levels, in the range of every model.
        box, control: see `sample_score_field`.
        data: some of the data `(k, 2)` to draw beneath, in raw units.
        title: above the figure.
        names: of the two states, for the axes.

    Raises:
        OptionError: there is no model or no noise level, or one is outside a model's range.
        ShapeError: a model does not fit; see `sample_score_field`.
    """
    rows = [[sample_score_field(label, model, s, box, control) for s in sigmas] for label, model in models.items()]
    return draw_score_fields(rows, data, title, names)


@styled
def draw_score_fields(
    rows: Sequence[Sequence[ScoreField]],
    data: ArrayLike | None = None,
    title: str = "",
    names: tuple[str, str] = ("x", "y"),
) -> Figure:
    """Draw rows of fields with a common scale of colours.

    An arrow leads to the mean of the data that noise σ may have brought to where it begins. Its direction is that of
    the step, colours tell the length in normalised coordinates; arrows longer than the grid are cut.

    Args:
        rows: of equal lengths.
        data: some of the data `(k, 2)` to draw beneath, in raw units.
        title: above the figure.
        names: of the two states, for the axes.

    Raises:
        OptionError: there is no field.
    """
    if not rows or not rows[0]:
        raise OptionError("A picture of score fields needs at least one model and one noise level.")
    longest = max(float(np.max(field.lengths)) for row in rows for field in row)
    figure = new_figure(2.9 * len(rows[0]) + 1.1, 2.9 * len(rows) + 1.0)
    fields = [field for row in rows for field in row]
    grid = panel_grid(figure, len(fields), len(rows[0]))
    for axes, field in zip(grid, fields, strict=True):
        if data is not None:
            axes.plot(*np.asarray(data, dtype=np.float64).T, ".", color=FAINT, markersize=1.5, alpha=0.6)
        _draw_arrows(axes, field, longest)
        axes.set_title(f"{field.label}, σ = {field.sigma:g}")
        axes.set_aspect("equal")
        axes.grid(False)
    colours = ScalarMappable(Normalize(0.0, longest), _COLOURS)
    figure.colorbar(colours, ax=grid, label="length of the step [normalised units]", shrink=0.8, pad=0.02)
    name_axes(grid, *names)
    arrow = key_marker("step towards the data", r"$\rightarrow$", FAINT, size=13.0)
    legend_below(figure, [arrow, *([] if data is None else [key_marker("data", ".", FAINT)])])
    add_heading(figure, title)
    return figure


def _draw_arrows(axes: Axes, field: ScoreField, longest: float) -> None:
    points, steps = (np.asarray(part, dtype=np.float64) for part in (field.points, field.steps))
    columns = np.unique(points[:, 0])
    limit = _SHARE_OF_SPACING * float(columns[1] - columns[0])
    size = np.linalg.norm(steps, axis=1, keepdims=True)
    shown = steps * np.minimum(1.0, limit / np.maximum(size, 1e-12))
    scale: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "width": 0.006}
    axes.quiver(*points.T, *shown.T, np.asarray(field.lengths), cmap=_COLOURS, clim=(0.0, longest), **scale)
