"""All faults: what is done to packets on their way or to processes, and what the tracker must answer."""

import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from trajopt_sgp.hardware.bus import Packet
from trajopt_sgp.hardware.faults.planners import BAD_SECONDS, FAIL
from trajopt_sgp.hardware.messages import FRAME_DECODER, STATUS_DECODER

Delayed = list[tuple[float, bytes]]
"""Packets, each with the time it is late by [s]."""
Alter = Callable[[Packet, random.Random, dict[str, bytes]], Delayed]
"""What becomes of a packet; the last argument is a memory for one fault."""


class Phase(Enum):
    """What the tracker is doing when a fault begins."""

    START = "waiting for the driver; nothing was sent"
    RAMP = "its first commands"
    MOTION = "following a plan"
    HOLD = "holding, since frames are missing"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        causes: How the interventions begin, one of which must name it.
        phase: When it begins.
        status, frame: What becomes of statuses and frames while it lasts.
        signals: Sent to a process when it begins; SIGSTOP and SIGKILL are undone at its end.
        again: Sent to the same processes one after the other, each 30 ms later.
        planner: Replaces the planner: module:function.
        foreign: Whether a second commander speaks.
        full_disk: Whether the log can grow no more.
        silent: Whether nothing may be commanded at all.
        ends: Whether the tracker ends by it.
        tolerated: Whether the tracker may go on as if nothing were.
        recovers: Whether it shall go on afterwards.
        seconds: How long it lasts.
    """

    causes: tuple[str, ...]
    phase: Phase = Phase.MOTION
    status: Alter | None = None
    frame: Alter | None = None
    signals: Mapping[str, signal.Signals] = field(default_factory=dict)
    again: tuple[signal.Signals, ...] = ()
    planner: str = ""
    foreign: bool = False
    full_disk: bool = False
    silent: bool = False
    ends: bool = False
    tolerated: bool = False
    recovers: bool = True
    seconds: float = 0.7


def drop(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Lose three packets in ten."""
    return [] if rng.random() < 0.3 else [(0.0, packet.data)]


def lose(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Lose every packet."""
    return []


def duplicate(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Send every packet twice."""
    return [(0.0, packet.data)] * 2


def reorder(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Let every second packet or so be overtaken."""
    return [(0.012 if rng.random() < 0.5 else 0.0, packet.data)]


def delay(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Let packets be late by 20 ms, more or less 15."""
    return [(0.02 + 0.015 * rng.uniform(-1, 1), packet.data)]


def freeze(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Send the joints of the first packet with new times."""
    message = STATUS_DECODER.decode(packet.data)
    first = STATUS_DECODER.decode(memory.setdefault("first", packet.data))
    first.utime = message.utime
    return [(0.0, first.encode())]


def jump_clock(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Let the driver's clock be an hour fast."""
    message = STATUS_DECODER.decode(packet.data)
    message.utime += 3600 * 10**6
    return [(0.0, message.encode())]


def not_a_number(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Make a measured joint NaN."""
    message = STATUS_DECODER.decode(packet.data)
    message.joint_position_measured = [*message.joint_position_measured[:6], np.nan]
    return [(0.0, message.encode())]


def fingerprint(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Change the fingerprint."""
    return [(0.0, b"\0" + packet.data[1:])]


def six_joints(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Send an arm of six joints."""
    message = STATUS_DECODER.decode(packet.data)
    message.num_joints = 6
    for name in message.__slots__[2:]:
        setattr(message, name, getattr(message, name)[:6])
    return [(0.0, message.encode())]


def lose_marker(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Put a marker at the origin, where one stands that is not seen."""
    message = FRAME_DECODER.decode(packet.data)
    message.marker_sets[0].xyz[1] = [0.0, 0.0, 0.0]
    return [(0.0, message.encode())]


def swap_markers(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Exchange two markers."""
    message = FRAME_DECODER.decode(packet.data)
    xyz = message.marker_sets[0].xyz
    xyz[0], xyz[1] = xyz[1], xyz[0]
    return [(0.0, message.encode())]


def occlude(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Leave a marker out."""
    message = FRAME_DECODER.decode(packet.data)
    message.marker_sets[0].num_markers -= 1
    message.marker_sets[0].xyz = message.marker_sets[0].xyz[1:]
    return [(0.0, message.encode())]


def move_frame(packet: Packet, rng: random.Random, memory: dict[str, bytes]) -> Delayed:
    """Let the frame of motion capture be 5 cm off."""
    message = FRAME_DECODER.decode(packet.data)
    markers = message.marker_sets[0]
    markers.xyz = [[x + 0.05, y, z] for x, y, z in markers.xyz]
    return [(0.0, message.encode())]


_PLANNERS = "trajopt_sgp.hardware.faults.planners"
_FAILS: Any = {"signals": {"planner": FAIL}, "seconds": BAD_SECONDS + 0.5}
_ENDS: Any = {"signals": {"tracker": signal.SIGINT}, "ends": True, "recovers": False}
FAULTS: Mapping[str, Fault] = {
    "drop": Fault(("late status",), status=drop, tolerated=True),
    "burst loss": Fault(("stale state",), status=lose),
    "duplication": Fault(("old status", "skipped status"), status=duplicate, tolerated=True),
    "reordering": Fault(("old status", "skipped status"), status=reorder, tolerated=True),
    "delay and jitter": Fault(("old status", "late status", "skipped status"), status=delay, tolerated=True),
    "frozen data": Fault(("frozen state",), status=freeze),
    "clock jump": Fault(("clock jumped",), status=jump_clock),
    "NaN fields": Fault(("refused IIWA_STATUS: number",), status=not_a_number),
    "wrong fingerprint": Fault(("refused IIWA_STATUS: fingerprint",), status=fingerprint),
    "wrong joint count": Fault(("refused IIWA_STATUS: count",), status=six_joints),
    "marker loss": Fault(("refused frame: marker lost",), frame=lose_marker),
    "marker swap": Fault(("refused frame: markers not rigid",), frame=swap_markers),
    "marker occlusion": Fault(("refused frame: marker count",), frame=occlude),
    "mocap offset": Fault(("refused frame: box jumped",), frame=move_frame, seconds=0.4),
    "no frames": Fault(("stale keypoints",), frame=lose),
    "planner overrun": Fault(("stale plan",), planner=f"{_PLANNERS}:make_late", **_FAILS),
    "planner exception": Fault(
        ("planner ended: InjectedError",), planner=f"{_PLANNERS}:make_failing", recovers=False, **_FAILS
    ),
    "NaN plan": Fault(("refused PLAN: number",), planner=f"{_PLANNERS}:make_not_a_number", **_FAILS),
    "planner SIGKILL": Fault(("planner silent",), signals={"planner": signal.SIGKILL}, seconds=1.2),
    "planner SIGSTOP": Fault(("planner silent",), signals={"planner": signal.SIGSTOP}, seconds=1.2),
    "simulator SIGSTOP": Fault(("stale state",), signals={"simulator": signal.SIGSTOP}),
    "simulator SIGKILL and restart": Fault(("stale state",), signals={"simulator": signal.SIGKILL}),
    "second commander": Fault(("foreign commander",), foreign=True, recovers=False),
    "full disk": Fault(("log lost",), full_disk=True, recovers=False),
    "SIGINT": Fault(("SIGINT",), **_ENDS),
    "SIGTERM": Fault(("SIGTERM",), **{**_ENDS, "signals": {"tracker": signal.SIGTERM}}),
    "SIGINT before the start": Fault(("SIGINT",), phase=Phase.START, silent=True, tolerated=True, **_ENDS),
    "SIGINT in the start ramp": Fault(("SIGINT",), phase=Phase.RAMP, **_ENDS),
    "SIGINT in a hold": Fault(("SIGINT",), phase=Phase.HOLD, **_ENDS),
    "SIGINT twice and SIGTERM in the stop": Fault(("SIGINT",), again=(signal.SIGINT, signal.SIGTERM), **_ENDS),
}
