"""Transitions of a robot's own recordings: pairs of neighbouring samples, but not across gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True, eq=False)
class Recording:
    """S samples of one run: states, the controls that act from each sample to the next, and times if there are any.

    Samples may lack values (NaN); `transitions_from_recordings` is told what to do with them.

    Raises:
        ShapeError: the arrays do not fit together, or there is less than one step.
        OptionError: times that do not increase; names the sample.
    """

    states: FloatArray
    """`(S, n)`."""
    controls: FloatArray
    """`(S, m)`, the last without effect on what was recorded, or `(S - 1, m)`."""
    times: FloatArray | None = None
    """`(S,)` [s], increasing; None where samples are known to be equally far apart."""
    name: str = "recording"
    """Called so in messages."""

    def __post_init__(self) -> None:
        for field in ("states", "controls", "times"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, np.asarray(value, dtype=np.float64))
        self._check_shapes()
        if self.times is not None and not (np.diff(self.times) > 0.0).all():
            sample = 1 + int(np.argmin(np.diff(self.times) > 0.0))
            raise OptionError(
                f"The times of {self.name!r} do not increase at sample {sample}: {self.times[sample - 1]} s, then "
                f"{self.times[sample]} s. Sort the samples, or make each run a recording of its own (run=, --run)."
            )

    @property
    def time_steps(self) -> FloatArray:
        """Times from each sample to the next, `(S - 1,)` [s]; empty without times."""
        return np.empty(0) if self.times is None else np.diff(self.times)

    def _check_shapes(self) -> None:
        count = len(self.states) if self.states.ndim == 2 else 0
        controls_fit = self.controls.ndim == 2 and len(self.controls) in (count, count - 1)
        times_fit = self.times is None or self.times.shape == (count,)
        if count < 2 or not controls_fit or not times_fit:
            shapes = {name: np.shape(getattr(self, name)) for name in ("states", "controls", "times")}
            raise ShapeError(
                f"Recording {self.name!r} needs states (S, n), controls (S, m) or (S - 1, m), and times (S,) or None, "
                f"with S > 1, not {shapes}."
            )


def transitions_from_recordings(
    recordings: Sequence[Recording],
    dataset_id: str,
    *,
    time_step: float | None = None,
    jitter: float = 0.2,
    skip_missing: bool = False,
    control_bounds: tuple[ArrayLike | float, ArrayLike | float] = _UNBOUNDED,
) -> Transitions:
    """Pair each sample with the next one, where they are one time step apart.

    Every stretch without a gap becomes an episode. A model of the result advances by the time step.

    Args:
        recordings: of the same coordinates, at least one.
        dataset_id: name of the data.
        time_step: h [s]; by default the median distance in time of all neighbours. Not used without times.
        jitter: neighbours whose distance in time differs from h by more than this share of h are not paired.
        skip_missing: samples that lack a value make a gap; otherwise they are refused.
        control_bounds: low and high of the controls, numbers or `(m,)`; described with the data, not enforced.

    Raises:
        ShapeError: recordings of different coordinates, or bounds that do not fit.
        NotFiniteError: a value is missing and `skip_missing` is not set; names recording, sample and coordinate.
        DatasetError: nothing is left, or no recording was given.
        OptionError: a time step or jitter that is not positive.
    """
    _check(recordings, dataset_id, time_step, jitter)
    step = time_step if time_step is not None else median_time_step(recordings)
    if not skip_missing:
        for recording in recordings:
            _refuse_missing(recording)
    pairs = [_are_paired(recording, step, jitter) for recording in recordings]
    if not any(kept.any() for kept in pairs):
        raise DatasetError(
            f"Dataset {dataset_id!r} would be empty: no two neighbouring samples are whole and "
            f"{'' if step is None else f'{step:.4g} s '}apart, within {100 * jitter:.0f} %."
        )
    taken = list(zip(recordings, pairs, strict=True))
    arrays: dict[str, NDArray[Any]] = {
        "states": np.concatenate([recording.states[:-1][kept] for recording, kept in taken]),
        "controls": np.concatenate([recording.controls[: len(kept)][kept] for recording, kept in taken]),
        "next_states": np.concatenate([recording.states[1:][kept] for recording, kept in taken]),
        "episodes": _number_stretches(pairs),
    }
    arrays["terminated"] = np.zeros(len(arrays["episodes"]), dtype=np.bool_)
    states, controls = arrays["states"].shape[1], arrays["controls"].shape[1]
    low, high = (_filled(bound, controls) for bound in control_bounds)
    info = describe_dataset(dataset_id, arrays, (np.full(states, -np.inf), np.full(states, np.inf)), (low, high))
    return Transitions(**arrays, dataset=info)


def median_time_step(recordings: Sequence[Recording]) -> float | None:
    """Return the median distance in time of neighbouring samples [s]; None where no recording has times."""
    steps = np.concatenate([recording.time_steps for recording in recordings])
    return float(np.median(steps)) if len(steps) else None


def _check(recordings: Sequence[Recording], dataset_id: str, time_step: float | None, jitter: float) -> None:
    if not recordings:
        raise DatasetError(f"Dataset {dataset_id!r} would be empty: give at least one recording.")
    for name, value in {"time_step": time_step, "jitter": jitter}.items():
        if value is not None and not value > 0.0:
            raise OptionError(f"{name} = {value}: it must be positive.")
    kinds = {(r.states.shape[1], r.controls.shape[1], r.times is not None): r.name for r in recordings}
    if len(kinds) > 1:
        named = ", ".join(f"{name!r}: {kind}" for kind, name in kinds.items())
        raise ShapeError(f"Recordings need the same coordinates, and times all or none; (n, m, with times) is {named}.")


def _refuse_missing(recording: Recording) -> None:
    for field in ("states", "controls"):
        finite = np.isfinite(getattr(recording, field))
        if not finite.all():
            sample, coordinate = np.argwhere(~finite)[0]
            raise NotFiniteError(
                f"Recording {recording.name!r}, sample {sample}, {field}[{coordinate}] is "
                f"{getattr(recording, field)[sample, coordinate]}. Repair it, or let such samples make a gap "
                "(skip_missing=True)."
            )


def _are_paired(recording: Recording, step: float | None, jitter: float) -> BoolArray:
    """Return which samples, but the last, make a transition with the next `(S - 1,)`."""
    states, controls = _are_whole(recording.states), _are_whole(recording.controls)
    paired: BoolArray = np.logical_and.reduce([states[:-1], controls[: len(states) - 1], states[1:]])
    if recording.times is not None and step is not None:
        paired &= np.abs(recording.time_steps - step) <= jitter * step
    return paired


def _are_whole(samples: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(samples).all(axis=1))


def _number_stretches(pairs: Sequence[BoolArray]) -> NDArray[np.int64]:
    """Return the episode of each pair that is kept: neighbours that are kept share one, within a recording."""
    begins = [np.diff(np.concatenate([[False], kept]).astype(np.int8)) == 1 for kept in pairs]
    numbers = np.cumsum(np.concatenate(begins)) - 1
    return numbers[np.concatenate(pairs)].astype(np.int64)


def _filled(bound: ArrayLike | float, size: int) -> FloatArray:
    try:
        return np.broadcast_to(np.asarray(bound, dtype=np.float64), (size,))
    except ValueError as error:
        raise ShapeError(
            f"A bound of {size} controls is a number or has shape ({size},), not {np.shape(bound)}."
        ) from error
