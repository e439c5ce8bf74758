"""One look for every figure: colours that colour-blind readers tell apart, sizes, labels and how figures are saved."""

import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from trajopt_sgp.errors import OptionError
from trajopt_sgp.files import write_atomically

Arguments = ParamSpec("Arguments")

Bounds = tuple[ArrayLike | float | int, ArrayLike | float | int]
"""Lower and upper bounds: numbers or arrays."""

DPI = 150
INK = "#22262e"
FAINT = "#8b919b"
GRID = "#e6e8eb"
BOX = "#e9f1ea"
BOX_EDGE = "#8fae94"
GOOD = "#1b7f4b"
BAD = "#b3261e"

# Okabe and Ito, "Color Universal Design", 2008; black and yellow left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_KNOWN = {
    "guided": PALETTE[0],
    "naive": PALETTE[1],
    "score": PALETTE[2],
    "energy": PALETTE[3],
    "dynamics": PALETTE[4],
}

CARTPOLE_UNITS: Mapping[str, str] = {
    "cart_position": "m",
    "pole_angle": "rad",
    "cart_velocity": "m/s",
    "pole_velocity": "rad/s",
    "cart_force": "N",
}
"""Units by the names of the cart-pole's states and control, for the argument `units` of the plots."""

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "figure.facecolor": "white",
    "figure.titlesize": 13.0,
    "figure.titleweight": "bold",
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def styled(plot: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Run a plotting function under the settings of this module; those of the caller are back afterwards."""

    @functools.wraps(plot)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> Figure:
        with matplotlib.rc_context(_SETTINGS):
            return plot(*args, **options)

    return run


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` by `height` [inch] with its own Agg canvas, known to no window system."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path | str, dpi: int = DPI) -> Path:
    """Write a figure whole or not at all and return the path.

    Args:
        figure: what to write.
        path: the suffix chooses the format (.png, .svg, .pdf, ...); its folder is made if missing.
        dpi: pixels per inch.

    Raises:
        OptionError: the suffix is none of a known format; lists them.
    """
    path = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    kind = path.suffix.removeprefix(".").lower()
    if kind not in kinds:
        raise OptionError(f"{path}: {path.suffix!r} is no format of figures; choose from {', '.join(sorted(kinds))}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(buffer, format=kind, dpi=dpi)
    write_atomically(path, buffer.getvalue())
    return path


def pick_colours(labels: Iterable[str], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a colour for each label: the chosen one, the same for "naive", "score", ... in every figure, or the next.

    Beyond the six colours of the palette they repeat.
    """
    labels = tuple(labels)
    fixed = {label: colour for label, colour in {**_KNOWN, **(chosen or {})}.items() if label in labels}
    free = [colour for colour in PALETTE if colour not in fixed.values()] or list(PALETTE)
    others = [label for label in labels if label not in fixed]
    return {**fixed, **{label: free[i % len(free)] for i, label in enumerate(others)}}


def axis_label(name: str, units: Mapping[str, str] | None = None) -> str:
    """Return the text for an axis: `pole_angle` and `{"pole_angle": "rad"}` give "pole angle [rad]"."""
    unit = (units or {}).get(name)
    words = name.replace("_", " ")
    return f"{words} [{unit}]" if unit else words


def add_heading(figure: Figure, title: str) -> None:
    """Set the title of a figure, on the left, in smaller letters where it would not fit."""
    text = figure.suptitle(title, x=0.012, horizontalalignment="left")
    room = 0.976 * figure.bbox.width / max(text.get_window_extent().width, 1.0)
    if room < 1.0:
        text.set_fontsize(room * float(text.get_fontsize()))


def set_title(axes: Axes, title: str, note: str = "", colour: str = INK, note_colour: str = FAINT) -> None:
    """Set the title of a panel and a note beside it, which may reach beyond the panel."""
    text = axes.set_title(title, color=colour, fontsize=12.0, pad=8.0)
    beside = axes.annotate(note, (1.0, 0.0), (9.0, 1.0), text, "offset points", color=note_colour, va="bottom")
    beside.set_in_layout(False)


def panel_grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Return `count` panels with common axes, in rows of `columns`."""
    rows = -(-count // columns)
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for spare in panels[count:]:
        spare.remove()
    return panels[:count]


def name_axes(panels: Sequence[Axes], across: str, upwards: str) -> None:
    """Name the two coordinates that a grid of panels shares: below the last of each column, beside the first column."""
    lowest = {axes.get_subplotspec().colspan.start: axes for axes in panels}  # type: ignore[union-attr]
    for axes in lowest.values():
        axes.set_xlabel(across)
        axes.tick_params(labelbottom=True)
    for axes in panels:
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(upwards)


def plain_log_ticks(axis: Axis) -> None:
    """Tick a logarithmic axis at 1, 2, 5, 10, ... in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_locator(NullLocator())


def key_line(label: str, colour: str, line: Any = "-", width: float = 1.8) -> Line2D:
    """Return an entry of a legend that shows a line."""
    return Line2D([], [], color=colour, linestyle=line, linewidth=width, label=label)


def key_marker(label: str, marker: str, colour: str, edge: str | None = None, size: float = 6.0) -> Line2D:
    """Return an entry of a legend that shows a marker, with an edge of its own colour unless said."""
    return Line2D([], [], color=colour, marker=marker, markeredgecolor=edge, markersize=size, ls="", label=label)


def legend_below(figure: Figure, entries: Sequence[Artist], columns: int | None = None) -> None:
    """Put one legend for all panels of a figure below them."""
    figure.legend(handles=list(entries), loc="outside lower center", ncols=columns or len(entries), columnspacing=1.6)


def legend_above(axes: Axes, columns: int | None = None) -> None:
    """Put the legend of a panel on its upper edge, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
        ncols=columns or max(1, len(labels)),
        columnspacing=1.4,
        handlelength=1.6,
    )
