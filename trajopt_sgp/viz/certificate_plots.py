"""Figures of certificates: the bound of the model's error against what happened, and the tube around the plan."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import CertificateCheck
from trajopt_sgp.viz.style import (
    BAD,
    FAINT,
    INK,
    PALETTE,
    add_heading,
    axis_label,
    legend_above,
    new_figure,
    styled,
)

_COLUMNS = 3
_FARTHEST = 4.0
_PLAN, _EXECUTED = PALETTE[0], PALETTE[1]


@styled
def plot_certificate(
    check: CertificateCheck,
    names: Sequence[str] | None = None,
    show: Sequence[int] | None = None,
    units: Mapping[str, str] | None = None,
    title: str = "What the certificate promised and what happened",
) -> Figure:
    """Draw bound and realised error of each step, then each state: plan, tube and what the plant did.

    Args:
        check: a certificate beside an execution, as `solution.resimulate(plant).certificate`; of one plan.
        names: of the states; by default those of the problem, or x[0], x[1], ... where none is known.
        show: indices of the states to draw; all by default.
        units: units by the names of states.
        title: above the figure.

    Raises:
        ShapeError: a batch of plans.
        OptionError: an index or the number of names does not fit.
    """
    plan = check.certificate.plan
    if plan.states.ndim != 2:
        raise ShapeError(f"plot_certificate draws one plan, not a batch of shape {plan.states.shape[:-2]}.")
    size = plan.states.shape[1]
    labels = list(names or check.certificate.state_names or [f"x[{i}]" for i in range(size)])
    chosen = list(range(size)) if show is None else list(show)
    if len(labels) != size or not all(0 <= index < size for index in chosen):
        raise OptionError(f"names = {labels} and show = {chosen} must fit {size} states.")
    panels = 1 + len(chosen)
    columns = min(panels, _COLUMNS)
    rows = -(-panels // columns)
    figure = new_figure(4.2 * columns, 3.1 * rows + 0.6)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    _draw_errors(places[0], check)
    for place, index in zip(places[1:], chosen, strict=False):
        _draw_state(place, check, index, axis_label(labels[index], units))
    for place in places[panels:]:
        place.set_visible(False)
    legend_above(places[1])
    add_heading(figure, title)
    return figure


@styled
def plot_error_ratios(
    ratios: Mapping[str, FloatArray],
    confidence: float,
    title: str = "Largest ratio of realised error to bound, plan by plan",
) -> Figure:
    """Draw how the largest ratio of every executed plan is distributed: to the left of 1 the bound has held.

    Ratios above 4 lie beyond the edge.

    Args:
        ratios: by system, `(plans,)` each.
        confidence: share of the plans that should be to the left of 1; marked.
        title: above the figure.

    Raises:
        OptionError: there are no ratios.
    """
    if not ratios:
        raise OptionError("plot_error_ratios needs at least one set of ratios.")
    figure = new_figure(7.2, 3.9)
    axes = figure.subplots()
    for (label, values), colour in zip(ratios.items(), PALETTE, strict=False):
        ordered = np.sort(values)
        axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", color=colour, label=label)
    axes.axvline(1.0, color=INK, linewidth=1.0, label="as much as promised")
    axes.axhline(confidence, color=FAINT, linewidth=1.0, linestyle="--", label=f"{100.0 * confidence:g} % of plans")
    axes.set_xscale("log")
    axes.set_xlim(0.9 * min(map(np.min, ratios.values())), min(1.1 * max(map(np.max, ratios.values())), _FARTHEST))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1.0, 2.0]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("largest ratio of a plan")
    axes.set_ylabel("share of plans")
    legend_above(axes)
    add_heading(figure, title)
    return figure


def _draw_errors(axes: Axes, check: CertificateCheck) -> None:
    bound, error = check.certificate.bound, check.error
    times = check.certificate.plan.times[:-1]
    axes.step(times, bound, where="post", color=INK, label="bound")
    label = f"realised, at most {float(check.error_ratio):.2f} of it"
    axes.step(times, error, where="post", color=_EXECUTED, label=label)
    axes.set_yscale("log")
    # an error of zero has no place on a logarithmic axis
    positive = np.concatenate([bound, error[error > 0.0]])
    axes.set_ylim(0.5 * max(positive.min(), 1e-4 * bound.max()), 2.0 * positive.max())
    outside = error > bound
    axes.plot(times[outside], error[outside], "x", color=BAD)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("one-step error [typical steps]")
    legend_above(axes)


def _draw_state(axes: Axes, check: CertificateCheck, index: int, label: str) -> None:
    plan = check.certificate.plan
    states, radius = plan.states[:, index], check.certificate.tube[:, index]
    times = plan.times
    axes.fill_between(times, states - radius, states + radius, color=_PLAN, alpha=0.15, linewidth=0.0, label="tube")
    axes.plot(times, states, color=_PLAN, label="plan")
    axes.plot(times, check.executed.states[:, index], color=_EXECUTED, linestyle=(0, (4.0, 2.0)), label="executed")
    axes.set_xlabel("time [s]")
    axes.set_ylabel(label)
