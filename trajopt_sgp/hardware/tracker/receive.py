"""What the tracker learns from each packet."""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.bus import FLOODED, UNSENT, Packet
from trajopt_sgp.hardware.driver_state import OLD, RESTARTED, take_status
from trajopt_sgp.hardware.messages import EVENT_DECODER, FRAME_DECODER, PLAN_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import take_frame
from trajopt_sgp.hardware.safety import begin_anew, reset
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.plan import pusher_at, usable
from trajopt_sgp.hardware.tracker.state import TrackerState, noted

TICK, STOP, RESET, SKIPPED = "TRACKER_TICK", "TRACKER_STOP", "TRACKER_RESET", "TRACKER_SKIPPED"
"""Channels of what does not come from the bus: time has passed; stop; move on after a stop; statuses were skipped."""

COUNTED = 500_000
"""In which time of their sender's clock statuses are counted [µs]."""
TOO_MANY = 1.5
"""How many in one period, on average, are more than one driver sends."""

END = "end"
"""The event that a process tells last."""
OPERATOR, ORDERS = "operator", {"stop": "stopped by the operator", "reset": "reset"}
"""Who tells the tracker to do something, by events of these names; and by which notes it says that it has heard."""

Taken = tuple[TrackerState, bool]
"""What is remembered, and whether a tick is due."""
Tip = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""From joints to position and direction of the pusher's tip."""
Taker = Callable[[HardwareSettings, TrackerState, Packet], Taken]


def skipped(time: int, statuses: Iterable[Packet]) -> Packet:
    """Return what tells of statuses that are not looked at but for their times, since newer ones have come as well."""
    accepted = STATUS_DECODER.accepted[0].fingerprint
    return Packet(
        time, SKIPPED, b"".join(p.data[8:16] for p in statuses if p.data[:8] == accepted and len(p.data) >= 16)
    )


def takers(settings: HardwareSettings, tip: Tip) -> Mapping[str, Taker]:
    """Return what is done with a packet, by its channel."""
    return {
        settings.status_channel: _take_status,
        settings.plan_channel: partial(_take_plan, tip),
        settings.frame_channel: _take_frame,
        settings.command_channel: _take_command,
        settings.event_channel: _take_event,
        TICK: _take_tick,
        STOP: _take_stop,
        RESET: _take_reset,
        SKIPPED: _take_skipped,
        UNSENT: _take_unsent,
        FLOODED: _take_flooded,
    }


def _take_status(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    status = STATUS_DECODER.decode(packet.data)
    if status.utime >= 0:
        state = _counted(settings, state, {status.utime})
    driver, note = take_status(settings, state.driver, status, packet.time, state.commanded)
    if note == RESTARTED:
        # it holds the arm where it is until the first command: so do we
        state = replace(state, safety=begin_anew(state.safety))
    state = replace(state, driver=driver)
    return (noted(state, note) if note else state), note != OLD


def _take_plan(tip: Tip, settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    plan = PLAN_DECODER.decode(packet.data)
    if not usable(plan):
        return noted(replace(state, plan=None), "refused plan: no knots in time"), False
    if plan.utime > packet.time or (state.plan is not None and plan.utime <= state.plan.utime):
        return noted(state, "refused plan: its time"), False
    if _distance(tip, state, pusher_at(plan, packet.time)) > settings.plan_distance:
        return noted(state, "refused plan: begins elsewhere"), False
    return replace(state, plan=plan), False


def _distance(tip: Tip, state: TrackerState, place: FloatArray) -> float:
    """Return how far a place is from where the pusher is wanted or, if that is nearer, is [m]; 0 if it never moved."""
    if state.safety.pusher is None or state.driver.measured is None:
        return 0.0  # where it may begin is up to the safety filter
    places = state.safety.pusher.position, tip(state.driver.measured)[0]
    return min(float(np.linalg.norm(place - other)) for other in places)


def _take_frame(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    keypoints, refused = take_frame(settings, state.keypoints, FRAME_DECODER.decode(packet.data), packet.time)
    state = replace(state, keypoints=keypoints)
    return (noted(state, f"refused frame: {refused}") if refused else state), False


def _take_command(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    own = packet.data in state.sent
    return (state if own else replace(noted(state, "command of another"), foreign=True)), False


def _take_event(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    event = EVENT_DECODER.decode(packet.data)
    if event.process == OPERATOR and event.event in ORDERS:
        return _obey(settings, state, packet, event.event)
    if event.process != "planner":
        return state, False
    if event.event == END:
        # the rest of its last plan is not followed
        return noted(replace(state, plan=None, planner_alive=None), f"planner ended: {event.detail}"), False
    return replace(state, planner_alive=packet.time), False


def _obey(settings: HardwareSettings, state: TrackerState, packet: Packet, order: str) -> Taken:
    if order == "reset":
        return _take_reset(settings, state, packet)
    return noted(replace(state, stop=True, ordered=True), ORDERS[order]), False


def _take_tick(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    # a tick replaces a status that is missing, or one that is not listened for any more
    late = packet.time - state.driver.received > 3e6 * settings.period
    return (noted(state, "late status") if late and not state.stop else state), late or state.stop


def _take_stop(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    return noted(replace(state, stop=True), packet.data.decode(errors="replace")), False


def _take_skipped(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    utimes = {time for (time,) in struct.iter_unpack(">q", packet.data) if time >= 0}
    return noted(_counted(settings, state, utimes), "skipped status"), False


def _take_unsent(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    return noted(state, "not sent"), False


def _take_flooded(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    return noted(state, f"flooded {packet.data.decode(errors='replace')}"), False


def _take_reset(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    state = replace(state, stop=False, ordered=False, foreign=False, two_senders=False, seen=frozenset())
    return noted(replace(state, safety=reset(state.safety)), ORDERS["reset"]), False


def _counted(settings: HardwareSettings, state: TrackerState, utimes: set[int]) -> TrackerState:
    """Notice statuses that come faster than one driver sends them; those that the network repeats count once."""
    seen = state.seen | utimes
    span = max(seen) - min(seen) if seen else 0
    if span < COUNTED:
        return replace(state, seen=seen)
    many = len(seen) * 1e6 * settings.period > TOO_MANY * span
    return replace(state, seen=frozenset(), two_senders=state.two_senders or many)
