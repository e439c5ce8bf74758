"""One fault after the other, each on processes of its own."""

import dataclasses
import random
import signal
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import read_log
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.faults.catalogue import FAULTS, Fault, Phase, lose
from trajopt_sgp.hardware.faults.disk import SmallDisk
from trajopt_sgp.hardware.faults.judge import FaultRecord, judge
from trajopt_sgp.hardware.faults.relay import SIMULATED, Relay
from trajopt_sgp.hardware.messages import SAFETY_DECODER
from trajopt_sgp.hardware.processes.launch import ROLES, Processes
from trajopt_sgp.hardware.settings import HardwareSettings

START_TIMEOUT = 60.0
"""Until the arm must move [s]."""
RECOVERY_TIMEOUT = 8.0
"""Until it must move again after a fault [s]."""
_QUIET = 1.0


def run_fault(name: str, settings: HardwareSettings, folder: Path, seed: int = 0) -> FaultRecord:
    """Start all processes with a relay between simulator and tracker, inject one fault, and judge.

    Args:
        name: One of `FAULTS`.
        settings: Of the run; status and frames come to the tracker through the relay.
        folder: For settings, texts and log.
        seed: Of random faults.

    Raises:
        HardwareError: the arm did not move before the fault.
    """
    fault = FAULTS[name]
    folder.mkdir(parents=True, exist_ok=True)
    if fault.planner:
        settings = dataclasses.replace(settings, planner=fault.planner)
    simulator = dataclasses.replace(
        settings,
        status_channel=f"{SIMULATED}{settings.status_channel}",
        frame_channel=f"{SIMULATED}{settings.frame_channel}",
    )
    relay = Relay(settings, random.Random(seed))
    disk = SmallDisk(folder / "disk")
    with closing(relay), disk if fault.full_disk else nullcontext():
        with Processes(settings, folder, ROLES, {"simulator": simulator}, disk.folder if disk.mounted else None) as run:
            _inject(fault, relay, run, disk)
        # the hold that the tracker sends while it ends is part of the stream
        _turn(relay, 0.2)
        if not fault.full_disk:  # there the bus alone can tell
            relay.recording.words = logged_words(run.log, settings)
    return judge(name, fault, relay.recording, settings.limits, ArmKinematics())


def logged_words(log: Path, settings: HardwareSettings) -> set[str]:
    """Return all interventions of a log."""
    decisions = (packet.data for packet in read_log(log) if packet.channel == settings.safety_channel)
    return {word for data in decisions for word in SAFETY_DECODER.decode(data).interventions.split("; ")}


def _inject(fault: Fault, relay: Relay, processes: Processes, disk: SmallDisk) -> None:
    _await(fault.phase, relay, processes)
    relay.recording.begun = now()
    _begin(fault, relay, processes, disk)
    _turn(relay, fault.seconds)
    _end(fault, relay, processes)
    relay.recording.ended = now()
    if fault.recovers:
        _turn(relay, RECOVERY_TIMEOUT, until=lambda: relay.mode == "RUNNING")
        _turn(relay, 0.3)
    else:
        _turn(relay, _QUIET)


def _await(phase: Phase, relay: Relay, processes: Processes) -> None:
    """Wait until the tracker does what it shall be interrupted in."""
    wanted = "IDLE" if phase is Phase.START else "RUNNING"
    if not _turn(relay, START_TIMEOUT, until=lambda: relay.mode == wanted):
        raise HardwareError(f"The arm was not {wanted} within {START_TIMEOUT:.0f} s; see {processes.folder}.")
    if phase in (Phase.MOTION, Phase.HOLD):
        _turn(relay, _QUIET)
    if phase is Phase.HOLD:
        relay.alter = {relay.settings.frame_channel: lose}
        _turn(relay, RECOVERY_TIMEOUT, until=lambda: relay.mode == "HOLDING")


def _begin(fault: Fault, relay: Relay, processes: Processes, disk: SmallDisk) -> None:
    settings = relay.settings
    altered = {settings.status_channel: fault.status, settings.frame_channel: fault.frame}
    relay.alter |= {channel: alter for channel, alter in altered.items() if alter}
    for role, number in fault.signals.items():
        processes.send(role, number)
        for later in fault.again:
            _turn(relay, 0.03)
            processes.send(role, later)
    if disk.mounted:
        disk.fill()
    elif fault.full_disk:
        processes.stop_log()
    if fault.foreign:
        relay.command()


def _end(fault: Fault, relay: Relay, processes: Processes) -> None:
    relay.alter = {}
    for role, number in fault.signals.items():
        if number == signal.SIGSTOP:
            processes.send(role, signal.SIGCONT)
        elif number == signal.SIGKILL:
            processes.start(role)


def _turn(relay: Relay, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    end = now() + 1e6 * seconds
    while now() < end:
        relay.turn()
        if until():
            return True
    return False
