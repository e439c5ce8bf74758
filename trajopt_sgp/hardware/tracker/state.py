"""What the tracker remembers between two packets."""

from dataclasses import dataclass, field, replace
from typing import Any

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.mocap import KeypointState
from trajopt_sgp.hardware.safety import SafetyState
from trajopt_sgp.hardware.safety.filter import no_torques

BURST = 3.0
"""Ticks that may follow each other at once when some were late."""


@dataclass(frozen=True, eq=False)
class TrackerState:
    """What the tracker remembers. Times are of the monotonic clock [µs].

    Attributes:
        safety: Of the safety filter.
        measured, torques: Joints of the last good status, and what the surroundings turn them by.
        utime: Of that status, on the driver's clock; -1 while the driver starts.
        first, received, changed: When the first good status came, the last one, and the last with other joints.
        moved_from: Joints that were commanded when the measured ones changed last.
        offset, jumped: Of the driver's clock, and when it jumped last.
        plan: The newest good one.
        planner_alive: When the planner gave a sign of life last; None before the first and after its end.
        keypoints: Of the box.
        sent: Commands of our own, by which those of others are told.
        allowance: How many ticks may come now.
        last_tick: When the last one came.
        tick: Its number.
        stop, foreign: Whether somebody asked to stop, and whether somebody else sends commands.
        ordered: Whether it was an operator on the bus who asked to stop.
        seen: Times of the statuses of late, on the clock of who sent them, by which they are counted [µs].
        two_senders: Whether there were more than one driver sends.
        notes: What happened since.
    """

    safety: SafetyState = field(default_factory=SafetyState)
    measured: FloatArray | None = None
    torques: FloatArray = field(default_factory=no_torques)
    utime: int = -1
    first: int = 0
    received: int = 0
    changed: int = 0
    moved_from: FloatArray | None = None
    offset: int | None = None
    jumped: int | None = None
    plan: Any = None
    planner_alive: int | None = None
    keypoints: KeypointState = field(default_factory=KeypointState)
    sent: tuple[bytes, ...] = ()
    allowance: float = BURST
    last_tick: int = 0
    tick: int = 0
    stop: bool = False
    foreign: bool = False
    ordered: bool = False
    seen: frozenset[int] = frozenset()
    two_senders: bool = False
    notes: tuple[str, ...] = ()


def noted(state: TrackerState, note: str) -> TrackerState:
    """Return the state with a note for the next tick."""
    return state if note in state.notes else replace(state, notes=(*state.notes, note))
