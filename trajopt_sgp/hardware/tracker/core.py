"""The tracker's decisions: a pure step from what was remembered and one packet with its time to what is sent.

Nothing else is read, neither a clock nor a network, so that a log of the packets reproduces every decision.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.bus import Packet
from trajopt_sgp.hardware.decision_log import OWN_COMMANDS, make_command, make_safety
from trajopt_sgp.hardware.mocap import recent_points
from trajopt_sgp.hardware.safety import Mode, SafetyDecision, SafetyInputs, filter_command
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.plan import pusher_at
from trajopt_sgp.hardware.tracker.receive import takers
from trajopt_sgp.hardware.tracker.state import BURST, TrackerState, noted

SILENCE = 500_000
"""How long after the last status a hold is still sent [µs]."""


@runtime_checkable
class Kinematics(Protocol):
    """What the tracker needs to know of the arm."""

    def tip(self, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return position and direction of the pusher's tip."""
        ...

    def solve_joints(self, pusher: FloatArray, joints: FloatArray) -> FloatArray:
        """Return joints that bring the tip nearer to a position."""
        ...


@dataclass(frozen=True, eq=False)
class Tick:
    """What one tick sends.

    Attributes:
        command: Packet for the driver; None while nothing may be sent.
        safety: Packet that says what was decided and why.
        interventions: The reasons.
    """

    command: bytes | None
    safety: bytes
    interventions: tuple[str, ...]


def advance(
    settings: HardwareSettings, state: TrackerState, packet: Packet, kinematics: Kinematics
) -> tuple[TrackerState, Tick | None]:
    """Return what is remembered after a packet, and what is sent because of it."""
    take = takers(settings).get(packet.channel)
    if take is None:
        return state, None
    try:
        state, due = take(settings, state, packet)
    except MessageError as error:
        # a planner that sends nonsense is not followed on its last plan either
        plan = None if packet.channel == settings.plan_channel else state.plan
        return noted(replace(state, plan=plan), f"refused {packet.channel}: {error.cause}"), None
    return _decide(settings, state, packet.time, kinematics) if due else (state, None)


def _decide(
    settings: HardwareSettings, state: TrackerState, time: int, kinematics: Kinematics
) -> tuple[TrackerState, Tick | None]:
    # the filter's speeds are per tick: on average no more ticks may come than periods pass
    allowance = min(state.allowance + (time - state.last_tick) * 1e-6 / settings.period, BURST)
    state = replace(state, allowance=allowance, last_tick=time)
    measured = state.measured
    if allowance < 1 or measured is None:
        return state, None
    state = replace(state, allowance=allowance - 1)
    if waits := _reasons_to_wait(settings, state, time):
        # the driver holds the arm: nothing was ever sent, or it has begun anew, or it holds the last command
        return _sent(settings, state, time, SafetyDecision(None, waits, state.safety))
    inputs, reasons = _inputs(settings, state, time, kinematics, measured)
    decision = filter_command(settings.limits, state.safety, inputs, kinematics.solve_joints)
    return _sent(settings, state, time, replace(decision, interventions=(*decision.interventions, *reasons)))


def _reasons_to_wait(settings: HardwareSettings, state: TrackerState, time: int) -> tuple[str, ...]:
    young = time - state.first < 1e6 * settings.start_guard
    starting = state.safety.joints is None and (state.utime < 0 or young)
    # a driver that begins anew exits at a command that comes too soon
    gone = state.safety.mode is Mode.HOLDING and time - state.received > SILENCE
    return ("driver starting",) if starting else ("stale state", "silent") if gone else ()


def _inputs(
    settings: HardwareSettings, state: TrackerState, time: int, kinematics: Kinematics, measured: FloatArray
) -> tuple[SafetyInputs, tuple[str, ...]]:
    tip = kinematics.tip(measured)[0]
    blind = recent_points(settings, state.keypoints, time) is None
    state_age, reasons = _state_age(settings, state, time)
    silent = state.planner_alive is not None and time - state.planner_alive > 1e6 * settings.heartbeat_age
    ages = state_age, np.inf if blind or silent or state.plan is None else (time - state.plan.utime) * 1e-6
    wanted = tip if state.plan is None else pusher_at(state.plan, time)
    last = state.safety.joints
    commanded = kinematics.tip(last.position)[0] if last else None
    others = state.foreign, state.two_senders
    inputs = SafetyInputs(wanted, tip, measured, *ages, state.torques, *others, state.stop, commanded)
    return inputs, (*reasons, *(("stale keypoints",) if blind else ()), *(("planner silent",) if silent else ()))


def _state_age(settings: HardwareSettings, state: TrackerState, time: int) -> tuple[float, tuple[str, ...]]:
    if state.jumped is not None and time - state.jumped < 2e6 * settings.state_age:
        return np.inf, ("clock jumped",)
    last = state.safety.joints
    if last is not None and state.moved_from is not None:
        moved = np.abs(last.position - state.moved_from).max()
        if moved > settings.frozen_motion and state.received - state.changed > 4e6 * settings.period:
            return np.inf, ("frozen state",)
    return (time - state.received) * 1e-6, ()


def _sent(
    settings: HardwareSettings, state: TrackerState, time: int, decision: SafetyDecision
) -> tuple[TrackerState, Tick]:
    command = None if decision.joints is None else make_command(time, decision.joints)
    interventions = tuple(dict.fromkeys((*decision.interventions, *state.notes)))
    safety = make_safety(time, state.tick, decision, interventions)
    sent = (*state.sent, command)[-OWN_COMMANDS:] if command else state.sent
    state = replace(state, safety=decision.state, sent=sent, tick=state.tick + 1, notes=())
    return state, Tick(command, safety, interventions)
