"""What is known of the driver by its statuses, and how often it may be commanded; for all who command it."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.safety import Mode, SafetyState
from trajopt_sgp.hardware.safety.filter import no_torques
from trajopt_sgp.hardware.settings import HardwareSettings

BURST = 3.0
"""Ticks that may follow each other at once when some were late."""
SILENCE = 500_000
"""How long after the last status a hold is still sent [µs]; a driver that comes back later is taken for a new one."""
OLD, JUMPED, RESTARTED = "old status", "clock jumped", "driver restarted"
"""What may be remarkable about a status."""


@dataclass(frozen=True)
class Allowance:
    """How many ticks may come: on average no more than periods pass, since the filter's speeds are per tick.

    Attributes:
        ticks: That may come now.
        time: When that was so [µs].
    """

    ticks: float = BURST
    time: int = 0

    def at(self, time: int, period: float) -> "Allowance":
        """Return it at a later time [µs], with a period [s] for every tick."""
        return Allowance(min(self.ticks + (time - self.time) * 1e-6 / period, BURST), time)

    def due(self, period: float) -> float:
        """Return when the next tick may come [µs]."""
        return self.time + 1e6 * period * (1.0 - self.ticks)

    def spent(self) -> "Allowance":
        """Return it after a tick."""
        return replace(self, ticks=self.ticks - 1)


@dataclass(frozen=True, eq=False)
class DriverState:
    """What the statuses have told. Times are of the monotonic clock [µs].

    Attributes:
        status: The last good one, decoded; None before the first.
        measured, torques: Its joints `(7,)` [rad], and by what the surroundings turn them `(7,)` [Nm].
        utime: Its time on the driver's clock; -1 while the driver starts.
        first, received, changed: When the first good status came, the last one, and the last with other joints.
        moved_from: Joints that were commanded when the measured ones changed last.
        offset, jumped: Of the driver's clock, and when it jumped last.
    """

    status: Any = None
    measured: FloatArray | None = None
    torques: FloatArray = field(default_factory=no_torques)
    utime: int = -1
    first: int = 0
    received: int = 0
    changed: int = 0
    moved_from: FloatArray | None = None
    offset: int | None = None
    jumped: int | None = None


def take_status(
    settings: HardwareSettings, driver: DriverState, status: Any, time: int, commanded: FloatArray | None
) -> tuple[DriverState, str | None]:
    """Return what is known after a status, and what is remarkable about it: `OLD`, `JUMPED`, `RESTARTED` or nothing.

    An old status changes nothing. After a restart nothing is known of what the driver was sent before.

    Args:
        settings: Of the run.
        driver: What was known.
        status: Decoded.
        time: When it was received [µs].
        commanded: Joints that were sent last and that the arm should follow `(7,)` [rad]; None if there are none.
    """
    starting = status.utime < 0
    offset = None if starting else time - status.utime
    jumped = _apart(offset, driver.offset) > 1e6 * settings.clock_jump
    if not (starting or jumped) and status.utime <= driver.utime:
        return driver, OLD
    # after a silence, by its clock too, nobody knows whether it is still the driver that was commanded
    silent = driver.measured is not None and time - driver.received > SILENCE
    silent = silent and (starting or status.utime - driver.utime > SILENCE)
    anew = silent or (starting and driver.utime >= 0)
    note = RESTARTED if anew else JUMPED if jumped else None
    known = DriverState(first=time) if anew else driver
    measured, torques = _arrays(status)
    moved = known.measured is None or bool((measured != known.measured).any())
    return replace(
        known,
        status=status,
        measured=measured,
        torques=torques,
        utime=status.utime,
        offset=offset,
        first=known.first or time,
        received=time,
        changed=time if moved else known.changed,
        moved_from=(None if anew else commanded) if moved else known.moved_from,
        jumped=time if note == JUMPED else known.jumped,
    ), note


def state_age(
    settings: HardwareSettings, driver: DriverState, time: int, commanded: FloatArray | None
) -> tuple[float, tuple[str, ...]]:
    """Return how old what is known is at `time` [µs], in [s], and why it is no knowledge at all where that is ∞."""
    if driver.jumped is not None and time - driver.jumped < 2e6 * settings.state_age:
        return np.inf, (JUMPED,)
    if commanded is not None and driver.moved_from is not None:
        moved = np.abs(commanded - driver.moved_from).max()
        if moved > settings.frozen_motion and driver.received - driver.changed > 4e6 * settings.period:
            return np.inf, ("frozen state",)
    return (time - driver.received) * 1e-6, ()


def reasons_to_wait(settings: HardwareSettings, driver: DriverState, safety: SafetyState, time: int) -> tuple[str, ...]:
    """Return why nothing may be sent at `time` [µs], whatever is wanted: the driver exits at what comes too soon.

    It holds the arm: nothing was ever sent, or it has begun anew, or it holds the last command.
    """
    young = time - driver.first < 1e6 * settings.start_guard
    starting = safety.joints is None and (driver.utime < 0 or young)
    # it may begin anew at any time
    gone = safety.mode is Mode.HOLDING and time - driver.received > SILENCE
    return ("driver starting",) if starting else ("stale state", "silent") if gone else ()


def _apart(offset: int | None, before: int | None) -> int:
    """Return by what an offset has changed; a late packet is no jump, unless it is late by more than any packet is."""
    return 0 if offset is None or before is None else abs(offset - before)


def _arrays(status: Any) -> tuple[FloatArray, FloatArray]:
    """Return measured joints and external torques, `(7,)` each."""
    return (
        np.asarray(status.joint_position_measured, dtype=np.float64),
        np.asarray(status.joint_torque_external, dtype=np.float64),
    )
