"""Moving an arm by hand."""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from trajopt_sgp.cli.report import Report, make_listing
from trajopt_sgp.hardware.bus import PacketBus, make_way
from trajopt_sgp.hardware.processes.scheduling import prefer
from trajopt_sgp.hardware.settings import HardwareSettings, read_settings
from trajopt_sgp.hardware.teleop import Controls, Joystick, Keyboard, Pilot
from trajopt_sgp.hardware.tracker.process import Tracker

KEYS = "w s a d or arrows: move   + -: step   space: stop   r: reset   q: end"


DEFAULT_LOG = Path("runs/hardware/teleop.lcmlog")
"""An older one is kept under a name with a number."""


def run_teleop(
    settings_file: Path | None, log: Path | None, simulated: bool, joystick: Path | None, speed: float
) -> Report:
    """Drive until somebody ends it, and say what the log is good for.

    Raises:
        HardwareError: there is no terminal or joystick; LCM is missing or has no network; the log exists already.
    """
    settings = read_settings(settings_file)
    controls: Controls = Joystick(joystick, speed) if joystick else Keyboard()
    if log is None:
        make_way(log := DEFAULT_LOG)
    with controls:
        tracker = Tracker(settings, log, _simulated_bus(settings) if simulated else None)
        prefer(settings.priority)
        _tell(f"{'Stick: move   first button: stop   second: end' if joystick else KEYS}\n")
        cause = Pilot(tracker, controls, speed, lambda line: _tell(f"\r{line[:110]:110}")).run()
        _tell("\n")
    found = {
        "ended": cause,
        "decisions": tracker.state.tick,
        "interventions": dict(tracker.state.safety.counts),
        "log": log,
    }
    return Report(found, [make_listing("teleoperation", found)])


def _simulated_bus(settings: HardwareSettings) -> PacketBus:
    from trajopt_sgp.hardware.arm import ArmSimulation
    from trajopt_sgp.hardware.processes.driver import SimulatedDriver
    from trajopt_sgp.hardware.processes.local_bus import LocalBus

    return LocalBus(SimulatedDriver(settings, ArmSimulation(), np.random.default_rng()))


def _tell(text: str) -> None:
    # standard output is for the report; a terminal that was closed need not be told anything
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
