"""What a fault did to the stream of commands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.driver_state import BURST
from trajopt_sgp.hardware.faults.catalogue import Fault
from trajopt_sgp.hardware.messages import COMMAND_DECODER
from trajopt_sgp.hardware.safety import SafetyLimits

STOPPED = frozenset({"STOPPING", "HOLDING"})
TIP_MARGIN = 0.005
"""How far the tip may leave the workspace of its reference [m]; see the page on hardware."""
TIP_TOLERANCE = 0.05
"""By what part of them the tip may exceed the limits of speed and acceleration of its reference."""
HELD_COMMANDS = 10
"""Equal commands in a row that are a hold."""
# how long a hold may take [ms]
_LONGEST_HOLD = 250.0
_PAUSE = 0.3
_WINDOW = 20
_STRETCH = 2


@dataclass(frozen=True)
class FaultRecord:
    """What became of one fault.

    Attributes:
        detected_ms: From its beginning until the tracker stopped or named it; None if it did neither.
        hold_ms: From then until a hold was sent; None if the tracker went on.
        limit_violations: Commands outside a limit.
        recovered: Whether the arm moved again after its end.
        cause_logged: Whether the log names the cause.
    """

    fault: str
    detected_ms: float | None
    hold_ms: float | None
    limit_violations: int
    recovered: bool
    cause_logged: bool

    def passed(self, fault: Fault) -> bool:
        """Whether this is what the fault asks for; a hold may take a quarter of a second."""
        held = self.hold_ms is not None and self.hold_ms <= _LONGEST_HOLD
        answered = held or (fault.tolerated and self.hold_ms is None)
        return answered and self.limit_violations == 0 and self.recovered == fault.recovers and self.cause_logged


@dataclass(eq=False)
class Recording:
    """What was heard of the tracker. Times are those of reception [µs].

    Attributes:
        commands: Packets, by time.
        decisions: Mode and interventions, by time.
        words: All interventions and events.
        begun, ended: When the fault began and ended.
    """

    commands: list[tuple[int, bytes]] = field(default_factory=list)
    decisions: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    begun: int = 0
    ended: int = 0


def judge(
    name: str, fault: Fault, recording: Recording, limits: SafetyLimits, kinematics: ArmKinematics
) -> FaultRecord:
    """Return the record of a fault."""
    after = [decision for decision in recording.decisions if decision[0] >= recording.begun]
    during = [decision for decision in after if decision[0] <= recording.ended]  # the run itself ends in a stop too
    stopped = next((time for time, mode, _ in during if mode in STOPPED), None)
    named = next((time for time, _, words in during if _names(fault, words)), None)
    detected = min((time for time in (stopped, named) if time is not None), default=None)
    held = None if stopped is None else _hold(recording.commands, stopped)
    return FaultRecord(
        name,
        None if detected is None else (detected - recording.begun) / 1000,
        None if held is None or detected is None else (held - detected) / 1000,
        count_violations([data for _, data in recording.commands], limits, kinematics)
        + fault.silent * len(recording.commands),
        any(time > recording.ended and mode == "RUNNING" for time, mode, _ in after),
        _names(fault, recording.words),
    )


def _names(fault: Fault, words: Iterable[str]) -> bool:
    return any(word.startswith(fault.causes) for word in words)


def count_violations(packets: Sequence[bytes], limits: SafetyLimits, kinematics: ArmKinematics) -> int:
    """Return how many commands leave a limit: range, rate and acceleration of joints, and the tip's, by kinematics."""
    messages = [COMMAND_DECODER.decode(packet) for packet in packets]  # refuses what is not finite
    if not messages:
        return 0
    joints = np.array([message.joint_position for message in messages])
    times = np.array([message.utime for message in messages]) * 1e-6
    outside = (joints < limits.joints.low - 1e-9) | (joints > limits.joints.high + 1e-9)
    # after a pause the arm begins anew from where it is
    whole = np.diff(times) < _PAUSE
    rates = np.diff(joints, axis=0) / limits.period
    fast = (np.abs(rates) > limits.joints.rate + 1e-6).any(axis=1) & whole
    accelerations = np.abs(np.diff(rates, axis=0)) / limits.period
    rough = (accelerations > limits.joints.acceleration + 1e-3).any(axis=1) & whole[1:] & whole[:-1]
    tips = np.array([kinematics.tip(position)[0] for position in joints])
    away = (tips < limits.pusher.low - TIP_MARGIN) | (tips > limits.pusher.high + TIP_MARGIN)
    moving = count_tip_violations(tips, whole, limits)
    counted = int(outside.any(axis=1).sum() + fast.sum() + rough.sum() + away.any(axis=1).sum())
    return counted + moving + _hurried(joints, times, limits)


def count_tip_violations(tips: FloatArray, whole: BoolArray, limits: SafetyLimits) -> int:
    """Return how many commands move the tip too fast, or end a stretch of 10 ms in which its velocity changes too much.

    Over single ticks rounding counts: a thousandth of a millimetre is 0.04 m/s² there.

    Args:
        tips: By kinematics from commanded joints [m].
        whole: Whether a command follows the one before without a pause `(n - 1,)`.
        limits: Of the pusher; the tip may exceed them by `TIP_TOLERANCE`, since its way is found by linear steps.
    """
    velocities = np.diff(tips, axis=0) / limits.period
    fast = (np.linalg.norm(velocities, axis=1) > (1 + TIP_TOLERANCE) * limits.pusher.speed) & whole
    if len(velocities) <= _STRETCH:
        return int(fast.sum())
    changes = np.linalg.norm(velocities[_STRETCH:] - velocities[:-_STRETCH], axis=1) / (_STRETCH * limits.period)
    unbroken = np.convolve(whole, np.ones(_STRETCH + 1), "valid") > _STRETCH
    rough = (changes > (1 + TIP_TOLERANCE) * limits.pusher.braking) & unbroken
    return int(fast.sum() + rough.sum())


def _hurried(joints: FloatArray, times: FloatArray, limits: SafetyLimits) -> int:
    """Windows of time in which more was moved than the rates allow, however the ticks came."""
    if len(times) <= _WINDOW:
        return 0
    seconds = times[_WINDOW:] - times[:-_WINDOW]
    allowed = (seconds[:, None] + BURST * limits.period) * limits.joints.rate
    moved = np.abs(joints[_WINDOW:] - joints[:-_WINDOW])
    return int(((moved > allowed + 1e-9).any(axis=1) & (seconds < _PAUSE)).sum())


def _hold(commands: Sequence[tuple[int, bytes]], since: int) -> int | None:
    """When the first of many equal commands came."""
    later = [(time, tuple(COMMAND_DECODER.decode(data).joint_position)) for time, data in commands if time >= since]
    for index in range(len(later) - HELD_COMMANDS + 1):
        if len({joints for _, joints in later[index : index + HELD_COMMANDS]}) == 1:
            return later[index][0]
    return None
