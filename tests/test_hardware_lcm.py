"""What the bus promises over real LCM: it ends, survives a network that fails, and is not drowned by one peer."""

import gc
from pathlib import Path

import pytest

pytest.importorskip("mujoco")

from tests.local_bus import local_settings
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware import lcm_robot
from trajopt_sgp.hardware.bus import Bus
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.settings import HardwareSettings


@pytest.fixture
def settings() -> HardwareSettings:
    """LCM on this machine."""
    return local_settings()


def held() -> tuple[int, int]:
    """Open files and threads of this process."""
    gc.collect()
    if not Path("/proc/self/task").exists():
        pytest.skip("open files and threads are counted in /proc")
    files, threads = (list(Path("/proc/self", kind).iterdir()) for kind in ("fd", "task"))
    return len(files), len(threads)


def test_closed_bus_leaves_no_file_and_no_thread(settings: HardwareSettings) -> None:
    with Bus(settings.url, ["A"]) as bus:  # what LCM keeps once and for all
        bus.receive(0.0)
    before = held()
    for _ in range(10):
        with Bus(settings.url, ["A", "B"]) as bus:
            bus.publish("A", b"something")
            bus.receive(0.01)
    assert held() == before


def test_robot_that_is_not_there_leaves_nothing_open(
    settings: HardwareSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lcm_robot, "CONNECT_TIMEOUT", 0.01)
    robot = lcm_robot.LcmRobot(settings)
    with pytest.raises(HardwareError, match="No driver is ready"):
        robot.connect()
    before = held()
    for _ in range(5):
        with pytest.raises(HardwareError, match="No driver is ready"):
            robot.connect()
    assert held() == before


def test_robot_that_disconnects_leaves_nothing_open(settings: HardwareSettings, tmp_path: Path) -> None:
    with Processes(settings, tmp_path, ("simulator",)):
        counts = []
        for _ in range(3):
            with lcm_robot.LcmRobot(settings) as robot:
                robot.send_action(robot.get_observation().tip)
            counts.append(held())
    assert counts[1:] == counts[:1] * 2


def test_closed_bus_says_so(settings: HardwareSettings) -> None:
    bus = Bus(settings.url, ["A"])
    bus.close()
    bus.close()
    with pytest.raises(HardwareError, match="closed"):
        bus.publish("A", b"")
    with pytest.raises(HardwareError, match="closed"):
        bus.receive(0.0)
