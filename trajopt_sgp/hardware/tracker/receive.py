"""What the tracker learns from each packet."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.bus import Packet
from trajopt_sgp.hardware.driver_state import OLD, RESTARTED, take_status
from trajopt_sgp.hardware.messages import EVENT_DECODER, FRAME_DECODER, PLAN_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import take_frame
from trajopt_sgp.hardware.safety import begin_anew, reset
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.plan import pusher_at, usable
from trajopt_sgp.hardware.tracker.state import TrackerState, noted

TICK, STOP, RESET, SKIPPED = "TRACKER_TICK", "TRACKER_STOP", "TRACKER_RESET", "TRACKER_SKIPPED"
"""Channels of what does not come from the bus: time has passed; stop; move on after a stop; statuses were skipped."""

END = "end"
"""The event that a process tells last."""

Taken = tuple[TrackerState, bool]
"""What is remembered, and whether a tick is due."""
Tip = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""From joints to position and direction of the pusher's tip."""
Taker = Callable[[HardwareSettings, TrackerState, Packet], Taken]


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
    }


def _take_status(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    status = STATUS_DECODER.decode(packet.data)
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
    if event.process != "planner":
        return state, False
    if event.event == END:
        # the rest of its last plan is not followed
        return noted(replace(state, plan=None, planner_alive=None), f"planner ended: {event.detail}"), False
    return replace(state, planner_alive=packet.time), False


def _take_tick(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    # a tick replaces a status that is missing, or one that is not listened for any more
    late = packet.time - state.driver.received > 3e6 * settings.period
    return (noted(state, "late status") if late and not state.stop else state), late or state.stop


def _take_stop(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    return noted(replace(state, stop=True), packet.data.decode(errors="replace")), False


def _take_skipped(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    return noted(state, "skipped status"), False


def _take_reset(settings: HardwareSettings, state: TrackerState, packet: Packet) -> Taken:
    return noted(replace(state, stop=False, foreign=False, safety=reset(state.safety)), "reset"), False
