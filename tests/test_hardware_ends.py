"""However it is ended, an arm is braked and held, and no process stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from tests.local_bus import local_settings
from trajopt_sgp.hardware.arm import ArmSimulation
from trajopt_sgp.hardware.bus import Bus, read_log
from trajopt_sgp.hardware.messages import COMMAND_DECODER, SAFETY_DECODER
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.processes.local_bus import LocalBus
from trajopt_sgp.hardware.settings import HardwareSettings, write_settings
from trajopt_sgp.hardware.signals import deferred, end_signals
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot
from trajopt_sgp.hardware.tracker.process import Tracker

COMMAND = str(Path(sys.executable).with_name("trajopt-sgp"))
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def settings() -> HardwareSettings:
    """LCM on this machine."""
    return local_settings()


@pytest.fixture
def survived() -> Iterator[None]:
    """Signals that would end the tests raise an error instead."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("survived")
@pytest.mark.parametrize("number", ENDS)
def test_signals_wait_while_they_are_deferred(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        for _ in range(3):
            signal.raise_signal(number)
        done.append("everything")
    assert done == ["everything"]


@pytest.mark.usefixtures("survived")
def test_hangup_that_is_ignored_stays_ignored() -> None:
    assert end_signals() == ENDS
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert end_signals() == ENDS[:2]


def test_second_interrupt_does_not_skip_the_braking(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = ArmSimulation()
    robot = SimulatedRobot(simulation)
    with pytest.raises(KeyboardInterrupt), robot:
        start = robot.get_observation().tip
        for ticks in range(60):
            robot.send_action(start + (np.array([0.03, 0.1, 0.0]) if ticks else 0.0))
        step = simulation.step

        def interrupted(joints: np.ndarray) -> object:
            signal.raise_signal(signal.SIGINT)
            return step(joints)

        monkeypatch.setattr(simulation, "step", interrupted)
        raise KeyboardInterrupt
    assert not robot.is_connected
    assert np.abs(robot.get_observation().velocities).max() < 0.1


@pytest.mark.usefixtures("survived")
@pytest.mark.parametrize("number", ENDS)
def test_tracker_ends_in_a_hold_and_says_by_what(tmp_path: Path, number: signal.Signals) -> None:
    settings, log = HardwareSettings(state_age=0.5, keypoint_age=0.5), tmp_path / "log"
    bus = LocalBus(SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0)))

    def end() -> str:
        signal.raise_signal(number)
        return ""

    assert Tracker(settings, log, bus).run(end) == number.name
    decisions = [SAFETY_DECODER.decode(p.data) for p in read_log(log) if p.channel == settings.safety_channel]
    assert any(number.name in decision.interventions for decision in decisions)


class Interrupted(Processes):
    """Processes whose every end is interrupted."""

    def stop(self, role: str) -> None:
        """End a process."""
        signal.raise_signal(signal.SIGINT)
        super().stop(role)


def test_interrupts_on_leaving_leave_no_process(settings: HardwareSettings, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Interrupted(settings, tmp_path, ("simulator", "planner")) as processes:
        pids = [process.pid for process in processes._running.values()]
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


PARENT = """
import sys
from pathlib import Path
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.settings import read_settings

folder = Path(sys.argv[1])
with Processes(read_settings(folder / "settings.json"), folder, ("simulator",)) as processes:
    print(processes._running["simulator"].pid, flush=True)
    processes.wait(60.0)
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_process_ends_when_its_parent_is_hung_up_or_killed(
    settings: HardwareSettings, tmp_path: Path, number: signal.Signals
) -> None:
    write_settings(settings, tmp_path / "settings.json")
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(number)
    end = time.monotonic() + 20.0
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_motion_to_a_start_brakes_when_it_is_ended(
    settings: HardwareSettings, tmp_path: Path, number: signal.Signals
) -> None:
    bus, joints = Bus(settings.url, [settings.command_channel]), np.zeros((0, 7))
    with Processes(settings, tmp_path, ("simulator",)):
        file = tmp_path / "simulator.json"
        words = [COMMAND, "hardware", "move-to-start", "--settings", str(file), "--", "0.6", "-0.2", "0.05"]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as mover:
            while mover.poll() is None:
                sent = [COMMAND_DECODER.decode(packet.data).joint_position for packet in bus.receive(0.01)]
                joints = np.vstack((joints, *sent))
                if len(joints) == 0 or np.abs(joints[-1] - joints[0]).max() < 0.03:
                    continue
                mover.send_signal(number)
                mover.wait(20.0)
        sent = [COMMAND_DECODER.decode(packet.data).joint_position for packet in bus.receive(0.1)]
    assert len(sent) > 20
    assert np.ptp(sent[-20:], axis=0).max() == 0.0
    assert np.abs(sent[-1] - joints[-1]).max() < 0.1


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
