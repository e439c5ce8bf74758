"""Figures of the toys in one dimension."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.viz.style import FAINT, INK, PALETTE, add_heading, new_figure, set_title, styled

_LIKELIHOOD_COLOURS = {
    "softmin energy": INK,
    "-log p": PALETTE[4],
    "learned distance": PALETTE[1],
    "learned score": PALETTE[2],
}
_STYLES = {"-log p": (0, (4, 3))}


@runtime_checkable
class UncertaintyCurve(Protocol):
    """A model and its uncertainty on a grid."""

    @property
    def prediction(self) -> FloatArray:
        """What the model says, `(grid,)`."""
        ...

    @property
    def uncertainty(self) -> FloatArray:
        """What it says of its error, `(grid,)`."""
        ...


@styled
def plot_admissibility(
    x: FloatArray,
    data: FloatArray,
    truth: Callable[[FloatArray], FloatArray],
    curves: Mapping[str, UncertaintyCurve],
    numbers: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw predictions with their bands, and below them each uncertainty beside the true error.

    Each uncertainty is scaled by the one factor that brings its largest value on the grid to the largest error, so that
    every one has the best chance to bound the error; where it stays below, it underestimates.

    Args:
        x: the grid, `(grid,)`.
        data: the data points, `(points,)`.
        truth: what the models learn.
        curves: by name.
        numbers: `underestimated`, `factor` and `stable` of each.
    """
    figure = new_figure(11.0, 5.6)
    panels = figure.subplots(2, len(curves), sharex=True, sharey="row", squeeze=False)
    for column, (name, curve) in enumerate(curves.items()):
        error = np.abs(curve.prediction - truth(x))
        band = curve.uncertainty * (error.max() / curve.uncertainty.max())
        colour = PALETTE[column]
        above, below = panels[0, column], panels[1, column]
        above.fill_between(x, curve.prediction - band, curve.prediction + band, color=colour, alpha=0.2, lw=0)
        above.plot(x, curve.prediction, color=colour, label="prediction")
        above.plot(x, truth(x), color=INK, lw=1.2, ls=(0, (4, 3)), label="truth")
        above.plot(data, truth(data), "o", color=INK, ms=5.5, label="data")
        set_title(above, name)
        below.plot(x, error, color=INK, lw=1.2, label="true error")
        below.plot(x, band, color=colour, label="uncertainty, scaled")
        below.fill_between(
            x, band, error, where=error > band, color=PALETTE[1], alpha=0.35, lw=0, label="underestimated"
        )
        below.plot(data, np.zeros_like(data), "o", color=INK, ms=5.5, clip_on=False)
        found = numbers[name]
        below.set_title(
            f"underestimates on {found['underestimated']:.0%} · ends at data {found['stable']:.0%}",
            fontsize=9.5,
            fontweight="normal",
        )
        below.set_xlabel("x")
    panels[0, 0].set(ylim=(-4.5, 4.5), ylabel="what is learned, y")
    panels[1, 0].set_ylabel("error of y")
    panels[0, 0].legend(loc="upper left")
    panels[1, 0].legend(loc="upper center")
    add_heading(figure, "Where is the model wrong, and does its uncertainty know?")
    return figure


@styled
def plot_likelihood(
    x: FloatArray, data: FloatArray, values: Mapping[str, FloatArray], gradients: Mapping[str, FloatArray]
) -> Figure:
    """Draw values, gradients, and the error of each gradient against the closed form, named "softmin energy"."""
    figure = new_figure(11.0, 4.2)
    left, middle, right = figure.subplots(1, 3)
    _draw_curves(left, x, values)
    set_title(left, "Value")
    left.set_ylabel("E(x)")
    _draw_curves(middle, x, gradients)
    set_title(middle, "Derivative")
    middle.set_ylabel("dE/dx")
    exact = gradients["softmin energy"]
    _draw_curves(right, x, {k: np.abs(v - exact) for k, v in gradients.items() if k.startswith("learned")})
    set_title(right, "Error of the derivative")
    right.set_ylabel("|error of dE/dx|")
    for panel in (left, middle, right):
        on_axis = panel.get_xaxis_transform()
        panel.plot(data, np.zeros_like(data), "o", color=INK, ms=5.0, transform=on_axis, clip_on=False, label="data")
        panel.set_xlabel("x")
    left.legend(loc="upper center")
    middle.legend(loc="upper left")
    right.legend(loc="upper left")
    add_heading(figure, "One gradient, learned as a value and as a score")
    return figure


@styled
def plot_uniform(
    z: FloatArray,
    scores: Mapping[str, FloatArray],
    samples: Mapping[str, FloatArray],
    density: Callable[[FloatArray], FloatArray],
    numbers: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw scores on the grid, and histograms of the samples against the density in raw units.

    Args:
        z: the grid in normalised units, `(grid,)`.
        scores: by name, `(grid,)`.
        samples: ends of chains in raw units by name, `(chains,)`.
        density: of the smoothed data in raw units.
        numbers: with `kolmogorov_smirnov` of each set of samples.
    """
    figure = new_figure(11.0, 3.9)
    left, *others = figure.subplots(1, 1 + len(samples))
    left.plot(z, scores["exact"], color=INK, label="exact")
    left.plot(z, scores["learned"], color=PALETTE[2], ls=(0, (4, 3)), label="learned")
    left.set(xlabel="z, normalised", ylabel="d log p / dz")
    left.legend(loc="upper right")
    set_title(left, "Score")
    raw = np.linspace(2.0, 8.0, 400)
    for panel, (name, ends) in zip(others, samples.items(), strict=True):
        colour = FAINT if name == "exact" else PALETTE[2]
        bins = np.linspace(2.0, 8.0, 61).tolist()
        panel.hist(ends, bins=bins, density=True, color=colour, alpha=0.55, label="samples")
        panel.plot(raw, density(raw), color=INK, lw=1.4, label="smoothed density")
        panel.set(xlabel="x", ylabel="density")
        panel.legend(loc="lower center")
        set_title(panel, f"Samples, {name} score", f"KS {numbers[name]['kolmogorov_smirnov']:.3f}")
    add_heading(figure, "A uniform density, sampled by its score")
    return figure


def _draw_curves(axes: Axes, x: FloatArray, curves: Mapping[str, FloatArray]) -> None:
    for name, values in curves.items():
        style: str | tuple[int, Sequence[int]] = _STYLES.get(name, "-")
        axes.plot(x, values, color=_LIKELIHOOD_COLOURS[name], ls=style, label=name)
