"""What can be seen of recordings that is likely to be a mistake: other rates, other units of time, exceeded bounds."""

import warnings
from collections.abc import Sequence

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data.transitions import Transitions

# of the recordings that a warning is about
_SHOWN = 5
# pairs that uneven times may leave out without a warning, in any case and as a share
_FEW, _MANY = 5, 0.05
# few robots are logged more seldom [s]
_LONG = 10.0
# of a bound, by which single precision may miss it
_ROUNDING = 1e-6


def warn_of_other_rates(
    steps: Sequence[tuple[str, FloatArray]], step: float, jitter: float
) -> list[tuple[str, FloatArray]]:
    """Warn of recordings most of whose samples are not one time step apart, which leaves them out; return the others.

    Args:
        steps: name of each recording, and times from each sample to the next [s], NaN where they are not known.
        step: the time step [s].
        jitter: share of it by which others may differ.
    """
    others = {}
    for name, own in steps:
        known = own[np.isfinite(own)]
        if len(known) and np.abs(np.median(known) - step) > jitter * step:
            others[name] = float(np.median(known))
    if others:
        shown = ", ".join(f"{name!r}: {own:.4g} s" for name, own in list(others.items())[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        warnings.warn(
            f"{len(others)} of {len(steps)} recordings have another time step than {step:.4g} s, and most of "
            f"their samples are left out: {shown}{more}. Resample them, or make a dataset of each rate.",
            stacklevel=3,
        )
    return [(name, own) for name, own in steps if name not in others]


def warn_of_uneven_times(steps: Sequence[tuple[str, FloatArray]], step: float, jitter: float, dataset_id: str) -> None:
    """Warn where uneven times leave out more than a few of the pairs of neighbouring samples; arguments as above."""
    known = np.concatenate([np.zeros(0), *(own[np.isfinite(own)] for _, own in steps)])
    uneven = int((np.abs(known - step) > jitter * step).sum())
    if uneven > max(_FEW, _MANY * len(known)):
        low, high = np.quantile(known, (0.05, 0.95))
        warnings.warn(
            f"Dataset {dataset_id!r}: {uneven} of {len(known)} pairs of neighbouring samples are left out: they are "
            f"not within {100 * jitter:.0f} % of {step:.4g} s apart: nine in ten are {low:.4g} to {high:.4g} s "
            "apart. Resample the log to even times, or allow more by jitter= (--jitter).",
            stacklevel=3,
        )


def warn_of_long_steps(step: float, dataset_id: str) -> None:
    """Warn of a time step, measured from times, that looks as if these were no seconds."""
    if step > _LONG:
        unit, factor = ("nanoseconds", "1e9") if step > 1e5 else ("milliseconds", "1000")
        warnings.warn(
            f"Dataset {dataset_id!r}: by its times, samples are {step:.4g} s apart. Times are seconds: divide them by "
            f"{factor} if they are {unit}. If samples are so far apart, say so by time_step={step:.6g} (--time-step).",
            stacklevel=3,
        )


def warn_of_exceeded_bounds(data: Transitions) -> None:
    """Warn of controls outside the bounds that are described with them."""
    low, high = np.array(data.dataset.control_low), np.array(data.dataset.control_high)
    names = data.dataset.control_names or [f"controls[{i}]" for i in range(data.control_size)]
    excess = np.maximum(low - data.controls, data.controls - high)
    room = _ROUNDING * np.maximum(*(np.where(np.isfinite(side), np.abs(side), 0.0) for side in (low, high)))
    beyond = excess > room
    told = [f"{names[i]} in {beyond[:, i].sum()} by up to {excess[:, i].max():.3g}" for i in beyond.any(0).nonzero()[0]]
    if told:
        warnings.warn(
            f"Dataset {data.dataset.id!r}: of {len(data)} controls some lie outside control_bounds: {', '.join(told)}. "
            "Plans keep to the bounds: give those that hold for the robot, in the units of the log.",
            stacklevel=3,
        )
