"""Figure of episodes: what each method earned."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from trajopt_sgp.errors import OptionError
from trajopt_sgp.viz.style import FAINT, INK, add_heading, new_figure, pick_colours, styled


@styled
def plot_episodes(
    values: Mapping[str, ArrayLike],
    intervals: Mapping[str, Sequence[float] | None] | None = None,
    unit: str = "return",
    title: str = "Episodes",
    reference: tuple[str, float] | None = None,
    note: str = "",
) -> Figure:
    """Draw every episode of every method as a point, models side by side, and the mean of each method as a bar.

    Args:
        values: by method: of its episodes, `(E,)`, or `(M, E)` of M sets of models.
        intervals: by method: lower and upper end of an interval of its mean, drawn as a line.
        unit: what the values are.
        title: above the figure.
        reference: name and value of a dashed line across, such as the mean of the data.
        note: what the intervals are; below the figure.

    Raises:
        OptionError: there are no methods.
    """
    if not values:
        raise OptionError("plot_episodes needs at least one method.")
    figure = new_figure(max(1.3 * len(values) + 2.0, 5.0), 4.0)
    axes, colours = figure.subplots(), pick_colours(values, None)
    for place, (name, found) in enumerate(values.items()):
        models = np.atleast_2d(np.asarray(found, dtype=np.float64))
        for shift, episodes in zip(np.linspace(-0.2, 0.2, len(models) + 2)[1:-1], models, strict=True):
            axes.plot(np.full(len(episodes), place + shift), episodes, "o", ms=4, alpha=0.6, color=colours[name])
        axes.hlines(models.mean(), place - 0.3, place + 0.3, color=INK, lw=2.0)
        interval = (intervals or {}).get(name)
        if interval is not None:
            axes.vlines(place + 0.3, interval[0], interval[1], color=INK, lw=1.2)
    if reference is not None:
        axes.axhline(reference[1], color=FAINT, ls="--", lw=1.2)
        axes.annotate(
            reference[0], (1.0, reference[1]), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", ha="right", fontsize=9, color=FAINT,
        )  # fmt: skip
    axes.set(xlabel=note, ylabel=unit, xlim=(-0.6, len(values) - 0.4))
    axes.set_xticks(range(len(values)), list(values))
    axes.grid(visible=False, axis="x")
    add_heading(figure, title)
    return figure
