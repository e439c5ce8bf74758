"""Transitions of a robot's own recordings: pairs of neighbouring samples, but not across gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import AnyArray, BoolArray, FloatArray, IntArray
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.data.recording_warnings import (
    warn_of_exceeded_bounds,
    warn_of_long_steps,
    warn_of_other_rates,
    warn_of_uneven_times,
)
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.data.wrapped_angles import RADIANS, find_angles, unwrap_states, warn_of_wrapped_angles
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError

_UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True, eq=False)
class Recording:
    """S samples of one run: states, the controls that act from each sample to the next, and times if there are any.

    Samples may lack values (NaN), times included; `transitions_from_recordings` is told what to do with them.

    Raises:
        ShapeError: the arrays do not fit together, or there is less than one step.
        OptionError: times that do not increase; names the sample.
    """

    states: FloatArray
    """`(S, n)`."""
    controls: FloatArray
    """`(S, m)`, the last without effect on what was recorded, or `(S - 1, m)`."""
    times: FloatArray | None = None
    """`(S,)` [s], increasing where they are known; None where samples are known to be equally far apart."""
    name: str = "recording"
    """Called so in messages."""
    state_names: Sequence[str] = ()
    """Of the n coordinates, for messages, plots and problems with models of them; empty for `states[0]` and so on."""
    control_names: Sequence[str] = ()
    """Of the m coordinates, alike."""
    lines: Sequence[int] = ()
    """On which line of a file each sample stands, for messages; empty where there is no such file."""

    def __post_init__(self) -> None:
        for field in ("states", "controls", "times"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, np.asarray(value, dtype=np.float64))
        self._check_shapes()
        if self.times is not None:
            self._check_increasing(self.times)

    def place(self, sample: int) -> str:
        """Return where a sample is found, for messages: its index, and its line if there is one."""
        return f"sample {sample} (line {self.lines[sample]})" if len(self.lines) else f"sample {sample}"

    @property
    def time_steps(self) -> FloatArray:
        """Times from each sample to the next, `(S - 1,)` [s], NaN where one of them is missing; empty without times."""
        return np.empty(0) if self.times is None else np.diff(np.where(np.isfinite(self.times), self.times, np.nan))

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

    def _check_increasing(self, times: FloatArray) -> None:
        known = np.flatnonzero(np.isfinite(times))
        falls = np.flatnonzero(~(np.diff(times[known]) > 0.0))
        if len(falls):
            before, sample = known[falls[0] : falls[0] + 2].tolist()
            raise OptionError(
                f"The times of {self.name!r} do not increase at {self.place(sample)}: {times[before]} s, then "
                f"{times[sample]} s. Sort the samples, or make each run a recording of its own (run=, --run)."
            )


def transitions_from_recordings(
    recordings: Sequence[Recording],
    dataset_id: str,
    *,
    time_step: float | None = None,
    jitter: float = 0.2,
    skip_missing: bool = False,
    control_bounds: tuple[ArrayLike | float, ArrayLike | float] = _UNBOUNDED,
    angles: Sequence[str | int] = (),
    turn: float = RADIANS,
) -> Transitions:
    """Pair each sample with the next one, where they are one time step apart.

    Every stretch without a gap becomes an episode. A model of the result advances by the time step.

    Args:
        recordings: of the same coordinates, at least one. Named coordinates are matched by name, to the order of the
            first recording that has names; those without names are taken as they stand.
        dataset_id: name of the data.
        time_step: h [s]; by default the median distance in time of all neighbours. Without times it is described with
            the data, and nothing else.
        jitter: neighbours whose distance in time differs from h by more than this share of h are not paired.
        skip_missing: samples that lack a value, or their time, make a gap; otherwise they are refused. The control of
            the last sample, which has no effect, may always be missing.
        control_bounds: low and high of the controls, numbers or `(m,)`; described with the data, not enforced;
            controls beyond them are warned of.
        angles: states that are wrapped, by name, pattern such as `q*` or number: each is unwrapped, so that it moves by
            less than half a turn from sample to sample. All recordings then begin within half a turn of the first.
        turn: a full turn in the unit of these angles, 360 for degrees.

    Raises:
        ShapeError: recordings of different coordinates or names, or bounds that do not fit.
        NotFiniteError: a value is missing and `skip_missing` is not set; names recording, sample and coordinate.
        DatasetError: nothing is left, or no recording was given.
        OptionError: a time step, jitter or turn that is not positive, bounds that are NaN or cross, or an angle that
            is no state.
    """
    if isinstance(recordings, Recording):
        raise OptionError("Give a list of recordings: [recording] for a single one.")
    _check(recordings, dataset_id, {"time_step": time_step, "jitter": jitter, "turn": turn})
    recordings = _in_one_order(_in_one_order(recordings, "state"), "control")
    recordings = _unwrapped(recordings, angles, turn)
    low, high = _bounds(control_bounds, recordings[0].controls.shape[1])
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
    if step is not None:
        steps = [(recording.name, recording.time_steps) for recording in recordings]
        usual = warn_of_other_rates(steps, step, jitter)
        warn_of_uneven_times(usual, step, jitter, dataset_id)
    if step is not None and time_step is None:
        warn_of_long_steps(step, dataset_id)
    arrays = _taken(recordings, pairs)
    warn_of_wrapped_angles(arrays["next_states"] - arrays["states"], dataset_id, recordings[0].state_names)
    states = arrays["states"].shape[1]
    free = np.full(states, -np.inf), np.full(states, np.inf)
    labels = recordings[0].state_names, recordings[0].control_names
    stretches = [int(begins.sum()) for begins in _begins(pairs)]
    runs = [count for count in stretches if count] if max(stretches) > 1 else []
    info = describe_dataset(dataset_id, arrays, free, (low, high), time_step=step, names=labels, runs=runs)
    transitions = Transitions(**arrays, dataset=info)
    warn_of_exceeded_bounds(transitions)
    return transitions


def median_time_step(recordings: Sequence[Recording]) -> float | None:
    """Return the median distance in time of neighbouring samples [s]; None where no two of them have times."""
    steps = np.concatenate([recording.time_steps for recording in recordings])
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) if len(steps) else None


def _check(recordings: Sequence[Recording], dataset_id: str, positive: Mapping[str, float | None]) -> None:
    if not recordings:
        raise DatasetError(f"Dataset {dataset_id!r} would be empty: give at least one recording.")
    for name, value in positive.items():
        if value is not None and not value > 0.0:
            raise OptionError(f"{name} = {value}: it must be positive.")
    kinds = {(r.states.shape[1], r.controls.shape[1], r.times is not None): r.name for r in recordings}
    if len(kinds) > 1:
        named = ", ".join(f"{name!r}: {kind}" for kind, name in kinds.items())
        raise ShapeError(
            f"Recordings need the same coordinates, and times all or none; (n, m, with times) is {named}."
            f"{_lacking(recordings)}"
        )


def _lacking(recordings: Sequence[Recording], most: int = 3) -> str:
    """Return which named coordinates the first recordings lack that do, for a message; empty where none does."""
    names = [set(recording.state_names) | set(recording.control_names) for recording in recordings]
    every = set().union(*names)
    found = [(r, every - own) for r, own in zip(recordings, names, strict=True) if own and every - own]
    return "".join(f" {r.name!r} lacks {', '.join(map(repr, sorted(gone)))}." for r, gone in found[:most])


def _in_one_order(recordings: Sequence[Recording], kind: str) -> list[Recording]:
    """Return recordings whose states, or controls, all have the names and the order of the first that has names."""
    field = f"{kind}_names"
    named = [recording for recording in recordings if getattr(recording, field)]
    if not named:
        return list(recordings)
    order = list(getattr(named[0], field))
    for recording in named:
        own = list(getattr(recording, field))
        if own != order and (len(set(own)) < len(own) or sorted(own) != sorted(order)):
            raise ShapeError(
                f"Recordings need the same {kind}s: {recording.name!r} has {', '.join(own)}, but {named[0].name!r} "
                f"has {', '.join(order)}."
            )
    return [_reordered(recording, kind, order) for recording in recordings]


def _reordered(recording: Recording, kind: str, order: list[str]) -> Recording:
    own = list(getattr(recording, f"{kind}_names"))
    if own == order:
        return recording
    columns = [own.index(name) for name in order] if own else slice(None)
    arrays = getattr(recording, f"{kind}s")[:, columns]
    changes: dict[str, Any] = {f"{kind}s": arrays, f"{kind}_names": order}
    return replace(recording, **changes)


def _unwrapped(recordings: Sequence[Recording], angles: Sequence[str | int], turn: float) -> list[Recording]:
    first = recordings[0]
    places = find_angles(angles, first.state_names, first.states.shape[1])
    states = unwrap_states([recording.states for recording in recordings], places, turn)
    return [replace(recording, states=own) for recording, own in zip(recordings, states, strict=True)]


def _refuse_missing(recording: Recording) -> None:
    count = len(recording.states)
    values = {"states": recording.states, "controls": recording.controls[: count - 1]}
    if recording.times is not None:
        values["times"] = recording.times
    for field, array in values.items():
        missing = np.argwhere(~np.isfinite(array))
        if len(missing):
            sample, *coordinate = missing[0].tolist()
            names = {"states": recording.state_names, "controls": recording.control_names}.get(field)
            what = names[coordinate[0]] if names else f"{field}{coordinate or ''}"
            raise NotFiniteError(
                f"Recording {recording.name!r}, {recording.place(sample)}, {what} is {array[(sample, *coordinate)]}. "
                "Repair it, or let such samples make a gap (skip_missing=True, --skip-missing)."
            )


def _are_paired(recording: Recording, step: float | None, jitter: float) -> BoolArray:
    """Return which samples, but the last, make a transition with the next `(S - 1,)`."""
    states, controls = _are_whole(recording.states), _are_whole(recording.controls)
    paired: BoolArray = np.logical_and.reduce([states[:-1], controls[: len(states) - 1], states[1:]])
    if recording.times is not None:
        paired &= np.isfinite(recording.time_steps)
        paired &= step is None or np.abs(recording.time_steps - step) <= jitter * step
    return paired


def _taken(recordings: Sequence[Recording], pairs: Sequence[BoolArray]) -> dict[str, AnyArray]:
    """Return the arrays of `Transitions` by name for the pairs that are kept."""
    taken = list(zip(recordings, pairs, strict=True))
    episodes = _number_stretches(pairs)
    return {
        "states": np.concatenate([recording.states[:-1][kept] for recording, kept in taken]),
        "controls": np.concatenate([recording.controls[: len(kept)][kept] for recording, kept in taken]),
        "next_states": np.concatenate([recording.states[1:][kept] for recording, kept in taken]),
        "episodes": episodes,
        "terminated": np.zeros(len(episodes), dtype=np.bool_),
    }


def _are_whole(samples: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(samples).all(axis=1))


def _number_stretches(pairs: Sequence[BoolArray]) -> IntArray:
    """Return the episode of each pair that is kept: neighbours that are kept share one, within a recording."""
    numbers = np.cumsum(np.concatenate(_begins(pairs))) - 1
    return numbers[np.concatenate(pairs)].astype(np.int64)


def _begins(pairs: Sequence[BoolArray]) -> list[BoolArray]:
    """Return, for each recording, which of its pairs begin a stretch of those that are kept."""
    return [np.diff(np.concatenate([[False], kept]).astype(np.int8)) == 1 for kept in pairs]


def _bounds(bounds: tuple[ArrayLike | float, ArrayLike | float], size: int) -> tuple[FloatArray, FloatArray]:
    try:
        low, high = (_filled(bound, size) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"control_bounds = {bounds!r}: give a pair (low, high), each a number or ({size},)."
        ) from error
    if size > 1 and all(map(np.ndim, bounds)) and (low == high).all():
        raise OptionError(
            f"control_bounds = {bounds!r} leaves every control one value: give a pair (low, high), each a number or "
            f"({size},), not a pair for each control."
        )
    if not (low <= high).all():
        raise OptionError(
            f"control_bounds = ({low.tolist()}, {high.tolist()}): each low must be a number up to its high; infinity "
            "for no bound."
        )
    return low, high


def _filled(bound: ArrayLike | float, size: int) -> FloatArray:
    try:
        return np.broadcast_to(np.asarray(bound, dtype=np.float64), (size,))
    except ValueError as error:
        raise ShapeError(
            f"A bound of {size} controls is a number or has shape ({size},), not {np.shape(bound)}."
        ) from error
