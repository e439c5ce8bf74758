"""Fields of arrows: where the gradient of a distance to data sends points of a plane, for each noise level."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models import TransitionModel
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.uncertainty import GradientModel
from trajopt_sgp.viz.style import FAINT, Bounds, add_heading, new_figure, styled

FloatArray = NDArray[np.float64]

_COLOURS = "viridis_r"


@styled
def plot_score_field(
    models: Mapping[str, GradientModel],
    sigmas: Sequence[float],
    box: Bounds,
    control: ArrayLike = (),
    points: ArrayLike | None = None,
    arrows: int = 19,
    title: str = "Where the score sends points of the plane",
) -> Figure:
    """Draw the step -∇d_σ = σ² ∇log p_σ of models with two states, one row per model and one column per noise level.

    The step leads to the mean of the data that noise σ may have brought to where the arrow begins. Arrows show its
    direction, colours its length in normalised coordinates; arrows longer than the grid are cut.

    Args:
        models: by label, for example a score network and the closed form beside it.
        sigmas: noise levels, in the range of every model.
        box: lower and upper corner of the plane in raw units, `(2,)` each.
        control: at which the field of (x, u) is cut, `(m,)`; empty for data without controls.
        points: some data `(k, 2)` to draw beneath, in raw units.
        arrows: number of them along each side.
        title: above the figure.

    Raises:
        OptionError: there is no model or no noise level, or one is outside a model's range.
        ShapeError: a model has another number of states than two, or of controls than are given.
    """
    if not models or not sigmas:
        raise OptionError("plot_score_field needs at least one model and one noise level.")
    low, high = (np.broadcast_to(np.asarray(side, dtype=np.float64), (2,)) for side in box)
    states = np.stack(np.meshgrid(*np.linspace(low, high, arrows).T), axis=-1).reshape(-1, 2)
    spacing = float(((high - low) / (arrows - 1)).min())
    steps = {
        label: [_steps(label, model, states, control, sigma) for sigma in sigmas] for label, model in models.items()
    }
    longest = max(float(lengths.max()) for row in steps.values() for _, lengths in row)
    figure = new_figure(2.9 * len(sigmas) + 1.1, 2.9 * len(models) + 0.5)
    grid = figure.subplots(len(models), len(sigmas), sharex=True, sharey=True, squeeze=False)
    drawn: Quiver | None = None
    for places, (label, row) in zip(grid, steps.items(), strict=True):
        for axes, sigma, (directions, lengths) in zip(places, sigmas, row, strict=True):
            _draw_points(axes, points)
            drawn = _draw_arrows(axes, states, directions, lengths, 0.9 * spacing, longest)
            axes.set_title(f"{label}, σ = {sigma:g}")
            axes.set_aspect("equal")
            axes.grid(False)
    if drawn is not None:
        figure.colorbar(drawn, ax=grid, label="length of the step [normalised units]", shrink=0.8, pad=0.02)
    add_heading(figure, title)
    return figure


def _steps(
    label: str, model: GradientModel, states: FloatArray, control: ArrayLike, sigma: float
) -> tuple[FloatArray, FloatArray]:
    """Return the steps of the states in raw units `(k, 2)`, and their lengths in normalised ones `(k,)`."""
    dtype = parameter_dtype(model)
    controls = np.broadcast_to(np.asarray(control, dtype=np.float64), (len(states), np.size(control)))
    scale = model.normalizer.scale if isinstance(model, TransitionModel) else np.ones(2)
    if isinstance(model, TransitionModel) and model.state_size != 2:
        raise ShapeError(f"{label}: a field of arrows needs two states, not {model.state_size}.")
    with torch.no_grad():
        z = model.normalize(torch.tensor(states, dtype=dtype), torch.tensor(controls, dtype=dtype))
        step = -model.distance_gradient(z, sigma)[:, :2].double().numpy()
    return step * scale[:2], np.linalg.norm(step, axis=1)


def _draw_points(axes: Axes, points: ArrayLike | None) -> None:
    if points is not None:
        axes.plot(*np.asarray(points, dtype=np.float64).T, ".", color=FAINT, markersize=1.5, alpha=0.6)


def _draw_arrows(
    axes: Axes, states: FloatArray, steps: FloatArray, lengths: FloatArray, limit: float, longest: float
) -> Quiver:
    size = np.linalg.norm(steps, axis=1, keepdims=True)
    shown = steps * np.minimum(1.0, limit / np.maximum(size, 1e-12))
    drawn = axes.quiver(
        *states.T,
        *shown.T,
        lengths,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.006,
        cmap=_COLOURS,
        clim=(0.0, longest),
    )
    return drawn
