"""A log of the tracker read again: every decision reproduced, bit for bit, or the first that differs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import Packet, read_log
from trajopt_sgp.hardware.decision_log import COMMANDED
from trajopt_sgp.hardware.settings import HardwareSettings, settings_from
from trajopt_sgp.hardware.tracker.core import Kinematics, Tick, advance
from trajopt_sgp.hardware.tracker.state import TrackerState

SETTINGS = "SETTINGS"
"""Channel of the log that holds what the run was made with."""


@dataclass(frozen=True)
class ReplayReport:
    """How a replay agrees with its log.

    Attributes:
        ticks: Decisions in the log.
        commands: Those of them that sent something.
        differing: Decisions that came out otherwise, or are missing on one side; 0 is expected.
        unfinished: Whether the tracker was killed or lost its log: the last decision, which may be there in part, is
            not compared then.
    """

    ticks: int
    commands: int
    differing: int
    unfinished: bool


def replay(path: Path, kinematics: Kinematics | None = None) -> ReplayReport:
    """Decide again on every packet of a log, and compare with what was decided.

    Raises:
        HardwareError: the file is no log of a tracker.
    """
    settings = log_settings(path)
    logged: list[tuple[bytes, bytes | None]] = []
    last = ""
    for packet in read_log(path):
        if packet.channel == settings.safety_channel:
            logged.append((packet.data, None))
        elif packet.channel == COMMANDED and logged:
            logged[-1] = (logged[-1][0], packet.data)
        last = packet.channel
    decided = [(tick.safety, tick.command) for tick in decide(path, settings, kinematics or ArmKinematics())]
    commands = sum(command is not None for _, command in logged)
    ticks, unfinished = len(logged), last != end_channel(settings)
    if unfinished:
        count = max(len(decided) - 1, 0)
        decided, logged = decided[:count], logged[:count] + logged[count + 1 :]
    differing = sum(a != b for a, b in zip(logged, decided, strict=False)) + abs(len(logged) - len(decided))
    return ReplayReport(ticks, commands, differing, unfinished)


def decide(path: Path, settings: HardwareSettings, kinematics: Kinematics) -> Iterator[Tick]:
    """Return the decisions on the packets of a log."""
    state = TrackerState()
    for packet in read_log(path):
        state, tick = advance(settings, state, packet, kinematics)
        if tick:
            yield tick


def end_channel(settings: HardwareSettings) -> str:
    """Return the channel of a log on which the tracker tells of itself, first its start and last its end."""
    return f"{settings.event_channel}_TRACKER"


def log_settings(path: Path) -> HardwareSettings:
    """Return the settings of the run that a log is of.

    Raises:
        HardwareError: the log does not begin with them.
    """
    first: Packet | None = next(read_log(path), None)
    if first is None or first.channel != SETTINGS:
        raise HardwareError(f"{path} is no log of a tracker: it does not begin with settings.")
    return settings_from(json.loads(first.data))
