"""Success rates with their intervals, over anything."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""For curves that lie on top of each other."""

_ROOM = 0.04


@runtime_checkable
class Rate(Protocol):
    """A share and the ends of its interval."""

    @property
    def value(self) -> float:
        """The share."""
        ...

    @property
    def low(self) -> float:
        """Lower end."""
        ...

    @property
    def high(self) -> float:
        """Upper end."""
        ...


def draw_rates(axes: Axes, places: ArrayLike, rates: Sequence[Rate], colour: str, **style: Any) -> None:
    """Draw rates with their intervals over `places`.

    Args:
        axes: receives them.
        places: along the horizontal axis, one for each rate.
        rates: what is drawn.
        colour: of markers, line and intervals.
        style: further arguments of `Axes.errorbar`, such as `label`.
    """
    defaults: dict[str, Any] = {"marker": "o", "markersize": 4.5, "linestyle": "-", "capsize": 2.0, "elinewidth": 1.2}
    axes.errorbar(
        places, [rate.value for rate in rates], interval_lengths(rates), color=colour, **{**defaults, **style}
    )


def interval_lengths(rates: Sequence[Rate]) -> FloatArray:
    """Return how far intervals reach below and above their rates, `(2, len(rates))`, as error bars want it."""
    ends = np.array([[rate.value - rate.low, rate.high - rate.value] for rate in rates]).reshape(-1, 2)
    lengths: FloatArray = np.maximum(ends.T, 0.0)
    return lengths


def beside(places: ArrayLike, number: int, count: int, factor: float = 1.04) -> FloatArray:
    """Return places of a logarithmic axis moved for curve `number` of `count`, so that none covers another."""
    moved: FloatArray = np.asarray(places, dtype=np.float64) * factor ** (number - 0.5 * (count - 1))
    return moved


def share_axis(axes: Axes, label: str = "plans that succeed") -> None:
    """Make the vertical axis one of shares, in percent."""
    axes.set(ylabel=label, ylim=(-_ROOM, 1.0 + _ROOM))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
