"""What the bus promises over real LCM: it ends, survives a network that fails, and is not drowned by one peer."""

import gc
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from tests.local_bus import local_settings
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware import lcm_robot
from trajopt_sgp.hardware.arm import ArmSimulation
from trajopt_sgp.hardware.bus import FLOODED, UNSENT, Bus, read_log
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.messages import SAFETY_DECODER
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.replay import replay
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.process import Tracker

REFUSED = "A" * 64
"""A channel on which LCM can send nothing, its name being too long, so that each packet fails."""


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


def test_full_channel_keeps_its_newest_packet_and_leaves_the_others_theirs(settings: HardwareSettings) -> None:
    with Bus(settings.url, ["A", "B"], capacity=20) as bus, Bus(settings.url) as peer:
        bus.receive(0.0)
        called = now()
        for number in range(200):
            peer.publish("A", bytes([number]))
        peer.publish("B", b"1")
        peer.publish("B", b"2")
        time.sleep(0.1)
        flooded, *packets = bus.receive(0.0)
        assert (flooded.channel, flooded.data) == (FLOODED, b"A")
        # LCM itself has lost the newest ones, and so nobody can say how old the last one of the others is
        assert [packet[1:] for packet in packets] == [("A", bytes([19])), ("B", b"1"), ("B", b"2")]
        assert packets[0].time <= called < packets[1].time
        peer.publish("A", b"new")
        assert [packet[1:] for packet in bus.receive(1.0)] == [("A", b"new")]


FLOOD = """
import sys
import lcm

bus = lcm.LCM(sys.argv[1])
while True:
    bus.publish("A", bytes(60))
"""


def test_peer_that_floods_one_channel_does_not_silence_the_others(settings: HardwareSettings) -> None:
    with (
        Bus(settings.url, ["A", "B"], capacity=20) as bus,
        subprocess.Popen([sys.executable, "-c", FLOOD, settings.url]) as flood,
    ):
        try:
            bus.receive(20.0)
            heard: list[bytes] = []
            for number in range(50):
                bus.publish("B", bytes([number]))
                heard += [packet.data for packet in bus.receive(0.1) if packet.channel == "B"]
            assert flood.poll() is None
        finally:
            flood.kill()
    assert len(heard) > 25


def test_packet_that_the_network_does_not_take_is_counted_and_told(settings: HardwareSettings) -> None:
    with Bus(settings.url, ["A"]) as bus:
        for channel in (REFUSED, REFUSED, "A"):
            bus.publish(channel, b"")
        assert bus.unsent == {REFUSED: 2}
        told = bus.receive(1.0)[0]
        assert (told.channel, told.data) == (UNSENT, b"2")
        assert UNSENT not in [packet.channel for packet in bus.receive(0.01)]


def test_tracker_whose_packets_the_network_does_not_take_goes_on_and_ends_in_order(
    settings: HardwareSettings, tmp_path: Path
) -> None:
    settings = replace(settings, command_channel=REFUSED, safety_channel=f"B{REFUSED}", event_channel=f"C{REFUSED}")
    log = tmp_path / "log"
    driver = SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))
    driver.packets = 300
    begun = now()

    def measure() -> str:
        driver.step()
        bus.publish(settings.status_channel, driver.status(now()))
        return "over" if now() - begun > 1e6 * (settings.start_guard + 0.5) else ""

    with Bus(settings.url) as bus:
        assert Tracker(settings, log).run(measure) == "over"
    assert replay(log).differing == 0
    decisions = [SAFETY_DECODER.decode(p.data) for p in read_log(log) if p.channel == settings.safety_channel]
    assert any("not sent" in decision.interventions for decision in decisions)
    assert list(read_log(log))[-1].channel == f"{settings.event_channel}_TRACKER"


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
