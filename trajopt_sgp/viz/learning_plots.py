"""Figures of learned models: training curves, and errors of the distance gradient."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.viz.style import INK, add_heading, legend_above, new_figure, pick_colours, set_title, styled


@styled
def plot_gradient_errors(
    errors: Mapping[str, Mapping[float, float]],
    aims: Mapping[float, float] | None = None,
    colours: Mapping[str, str] | None = None,
    title: str = "How well the gradient of the distance to data is learned",
) -> Figure:
    """Draw the relative error of the distance gradient over the noise level sigma.

    Args:
        errors: by model, then by sigma; as `trajopt_sgp.uncertainty.validation.gradient_error` returns them.
        aims: errors to stay below, by sigma; drawn as bars.
        colours: by model.
        title: above the figure.

    Raises:
        OptionError: there is no model.
    """
    if not errors:
        raise OptionError("plot_gradient_errors needs at least one model.")
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    chosen = pick_colours(errors, colours)
    for label, entries in errors.items():
        sigmas = sorted(entries)
        axes.plot(sigmas, [entries[sigma] for sigma in sigmas], "o-", color=chosen[label], label=label)
    for i, (sigma, aim) in enumerate(sorted((aims or {}).items())):
        bar = [sigma / 1.12, sigma * 1.12]
        axes.plot(bar, [aim, aim], color=INK, linewidth=3.0, label="aim: at most" if i == 0 else "_")
    ticks = sorted({sigma for entries in (*errors.values(), aims or {}) for sigma in entries})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{sigma:g}" for sigma in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:g} %"))
    axes.set(xlabel="noise level σ [normalised units]", ylabel="relative error of the gradient")
    legend_above(axes)
    add_heading(figure, title)
    return figure


@styled
def plot_training_curves(
    paths: Mapping[str, Path],
    colours: Mapping[str, str] | None = None,
    title: str = "Loss on transitions not trained on",
) -> Figure:
    """Draw the validation loss of training runs, one panel each; a dot marks the best.

    Args:
        paths: file `metrics.jsonl` of each run, by model.
        colours: by model.
        title: above the figure.

    Raises:
        FileError: a file is missing or damaged, or holds no validation loss.
        OptionError: there is no run.
    """
    if not paths:
        raise OptionError("plot_training_curves needs at least one run.")
    figure = new_figure(max(3.7 * len(paths), 5.0), 3.3)
    chosen = pick_colours(paths, colours)
    for axes, (label, path) in zip(figure.subplots(1, len(paths), squeeze=False)[0], paths.items(), strict=True):
        _draw_training(axes, label, path, chosen[label])
    add_heading(figure, title)
    return figure


def _draw_training(axes: Axes, label: str, path: Path, colour: str) -> None:
    steps, losses = _read_losses(path)
    best = int(np.argmin(losses))
    axes.plot(steps, losses, color=colour)
    axes.plot(steps[best], losses[best], "o", color=colour)
    if min(losses) > 0.0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=_ticks(max(losses) / min(losses))))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    set_title(axes, label, f"best {losses[best]:.3g}", colour)
    axes.set(xlabel="training step", ylabel="validation loss")


def _ticks(ratio: float) -> tuple[float, ...]:
    """Return the multiples of powers of ten to label on an axis from 1 to `ratio`."""
    if ratio > 300.0:
        return (1.0,)
    return (1.0, 2.0, 5.0) if ratio > 8.0 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def _read_losses(path: Path) -> tuple[list[float], list[float]]:
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        pairs = [(float(r["step"]), float(r["validation_loss"])) for r in records if "validation_loss" in r]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} cannot be read as the metrics of a training run: {error}.") from error
    if not pairs:
        raise FileError(f"{path} holds no validation loss.")
    return [step for step, _ in pairs], [loss for _, loss in pairs]
