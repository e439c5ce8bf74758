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
from trajopt_sgp.hardware.driver_state import reasons_to_wait, state_age
from trajopt_sgp.hardware.mocap import recent_points
from trajopt_sgp.hardware.safety import SafetyDecision, SafetyInputs, filter_command
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.plan import pusher_at
from trajopt_sgp.hardware.tracker.receive import takers
from trajopt_sgp.hardware.tracker.state import TrackerState, noted


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
    take = takers(settings, kinematics.tip).get(packet.channel)
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
    allowance, measured = state.allowance.at(time, settings.period), state.driver.measured
    if allowance.ticks < 1 or measured is None:
        return replace(state, allowance=allowance), None
    state = replace(state, allowance=allowance.spent())
    if waits := reasons_to_wait(settings, state.driver, state.safety, time):
        return _sent(settings, state, time, SafetyDecision(None, waits, state.safety))
    inputs, reasons = _inputs(settings, state, time, kinematics, measured)
    decision = filter_command(settings.limits, state.safety, inputs, kinematics.solve_joints)
    return _sent(settings, state, time, replace(decision, interventions=(*decision.interventions, *reasons)))


def _inputs(
    settings: HardwareSettings, state: TrackerState, time: int, kinematics: Kinematics, measured: FloatArray
) -> tuple[SafetyInputs, tuple[str, ...]]:
    tip, last = kinematics.tip(measured)[0], state.commanded
    blind = recent_points(settings, state.keypoints, time) is None
    age, reasons = state_age(settings, state.driver, time, last)
    silent = state.planner_alive is not None and time - state.planner_alive > 1e6 * settings.heartbeat_age
    ages = age, np.inf if blind or silent or state.plan is None else (time - state.plan.utime) * 1e-6
    wanted = tip if state.plan is None else pusher_at(state.plan, time)
    commanded = None if last is None else kinematics.tip(last)[0]
    others = state.foreign, state.two_senders
    inputs = SafetyInputs(wanted, tip, measured, *ages, state.driver.torques, *others, state.stop, commanded)
    return inputs, (*reasons, *(("stale keypoints",) if blind else ()), *(("planner silent",) if silent else ()))


def _sent(
    settings: HardwareSettings, state: TrackerState, time: int, decision: SafetyDecision
) -> tuple[TrackerState, Tick]:
    command = None if decision.joints is None else make_command(time, decision.joints)
    interventions = tuple(dict.fromkeys((*decision.interventions, *state.notes)))
    safety = make_safety(time, state.tick, decision, interventions)
    sent = (*state.sent, command)[-OWN_COMMANDS:] if command else state.sent
    state = replace(state, safety=decision.state, sent=sent, tick=state.tick + 1, notes=())
    return state, Tick(command, safety, interventions)
