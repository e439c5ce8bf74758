"""What the tracker remembers between two packets."""

from dataclasses import dataclass, field, replace
from typing import Any

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.driver_state import Allowance, DriverState
from trajopt_sgp.hardware.mocap import KeypointState
from trajopt_sgp.hardware.safety import SafetyState


@dataclass(frozen=True, eq=False)
class TrackerState:
    """What the tracker remembers. Times are of the monotonic clock [µs].

    Attributes:
        safety: Of the safety filter.
        driver: By its statuses.
        plan: The newest good one.
        planner_alive: When the planner gave a sign of life last; None before the first and after its end.
        keypoints: Of the box.
        sent: Commands of our own, by which those of others are told.
        allowance: How many ticks may come.
        tick: Number of the next one.
        stop, foreign: Whether somebody asked to stop, and whether somebody else sends commands.
        ordered: Whether it was an operator on the bus who asked to stop.
        seen: Times of the statuses of late, on the clock of who sent them, by which they are counted [µs].
        two_senders: Whether there were more than one driver sends.
        notes: What happened since.
    """

    safety: SafetyState = field(default_factory=SafetyState)
    driver: DriverState = field(default_factory=DriverState)
    plan: Any = None
    planner_alive: int | None = None
    keypoints: KeypointState = field(default_factory=KeypointState)
    sent: tuple[bytes, ...] = ()
    allowance: Allowance = field(default_factory=Allowance)
    tick: int = 0
    stop: bool = False
    foreign: bool = False
    ordered: bool = False
    seen: frozenset[int] = frozenset()
    two_senders: bool = False
    notes: tuple[str, ...] = ()

    @property
    def commanded(self) -> FloatArray | None:
        """Joints that were sent last `(7,)` [rad]; None before the first."""
        return self.safety.joints.position if self.safety.joints else None


def noted(state: TrackerState, note: str) -> TrackerState:
    """Return the state with a note for the next tick."""
    return state if note in state.notes else replace(state, notes=(*state.notes, note))
