"""The real processes over real LCM on loopback, judged by counts and identities; and the judge of faults itself."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco")

from tests.local_bus import local_settings
from trajopt_sgp.errors import HardwareError, OptionError
from trajopt_sgp.hardware import lcm_robot
from trajopt_sgp.hardware.arm import VERTICAL_POSE, ArmKinematics
from trajopt_sgp.hardware.bus import Bus
from trajopt_sgp.hardware.dataset import read_episodes
from trajopt_sgp.hardware.faults import FAULTS, FaultRecord, run_fault
from trajopt_sgp.hardware.faults.disk import SmallDisk
from trajopt_sgp.hardware.faults.judge import count_tip_violations, count_violations
from trajopt_sgp.hardware.lcm_robot import LcmRobot
from trajopt_sgp.hardware.messages import COMMAND, COMMAND_DECODER, codec
from trajopt_sgp.hardware.motions import move_to
from trajopt_sgp.hardware.orders import tell_tracker
from trajopt_sgp.hardware.processes.heartbeat import Heartbeat
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.processes.planner import load_planner
from trajopt_sgp.hardware.replay import replay
from trajopt_sgp.hardware.robot import Robot
from trajopt_sgp.hardware.run_report import report_run
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot
from trajopt_sgp.hardware.tracker.plan import make_plan

LIMITS = HardwareSettings().limits
COMMAND_LINE = str(Path(sys.executable).with_name("trajopt-sgp"))


def commands(joints: np.ndarray) -> list[bytes]:
    """Packets of commands `(n, 7)`, one per period."""
    packets = []
    for number, position in enumerate(joints):
        message = codec(COMMAND)()
        message.utime, message.num_joints, message.joint_position = 5000 * number, 7, position.tolist()
        packets.append(message.encode())
    return packets


def test_judge_counts_each_kind_of_violation() -> None:
    kinematics = ArmKinematics()
    still = np.tile(VERTICAL_POSE, (60, 1))
    assert count_violations(commands(still), LIMITS, kinematics) == 0
    assert count_violations([], LIMITS, kinematics) == 0
    jump = still.copy()
    jump[30:, 6] += 0.1  # faster than its rate, once; rough before and after; and in every window of 20 that holds it
    assert count_violations(commands(jump), LIMITS, kinematics) == 1 + 2 + 20
    outside = still + np.array([np.pi / 2, 0, 0, 0, 0, 0, 0])  # the tip is no longer in the workspace
    assert count_violations(commands(outside), LIMITS, kinematics) == 60


def test_judge_looks_at_the_tip_as_well() -> None:
    limits, period = LIMITS, LIMITS.period
    whole = np.ones(99, dtype=bool)
    times = period * np.arange(100)
    even = np.outer(times, [limits.pusher.speed, 0.0, 0.0])
    assert count_tip_violations(even, whole, limits) == 0
    assert count_tip_violations(1.2 * even, whole, limits) == 99
    assert count_tip_violations(np.outer(times**2 / 2, [0.25, 0.0, 0.0]), whole, limits) == 0
    assert count_tip_violations(np.outer(times**2 / 2, [0.0, 1.2, 0.0]) / 4, whole, limits) == 0
    assert count_tip_violations(np.outer(times**2 / 2, [0.0, 0.0, 1.2])[:20], whole[:19], limits) == 17
    stop = even.copy()
    stop[50:] = even[50]  # too rough a change, in each stretch of two that holds it
    assert count_tip_violations(stop, whole, limits) == 2
    whole[49] = False
    assert count_tip_violations(stop, whole, limits) == 0


def test_small_disk_is_really_full(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk") as disk:
        if not disk.mounted:
            pytest.skip("mounting is not permitted")
        (disk.folder / "before").write_bytes(b"fits")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "after").write_bytes(b"does not")
    assert list((tmp_path / "disk").iterdir()) == []


def test_heart_beats_while_the_process_computes_and_no_longer() -> None:
    beats: list[float] = []
    with Heartbeat(lambda: beats.append(time.monotonic()), 0.01):
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            sum(range(1000))
    assert len(beats) >= 5
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count


def test_planner_that_does_not_exist_is_named() -> None:
    with pytest.raises(OptionError, match="no_such_module:make"):
        load_planner("no_such_module:make")


def test_planner_of_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_lab.py").write_text("def make(settings):\n    return None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])  # as an installed command has it
    assert load_planner("own_lab:make").__module__ == "own_lab"


def test_fault_asks_for_a_hold_in_time_a_cause_and_the_right_recovery() -> None:
    fault = FAULTS["burst loss"]
    good = FaultRecord("burst loss", 100.0, 50.0, 0, recovered=True, cause_logged=True)
    assert good.passed(fault)
    for change in ({"hold_ms": 300.0}, {"hold_ms": None}, {"limit_violations": 1}, {"recovered": False}):
        assert not FaultRecord(**{**vars(good), **change}).passed(fault)


@pytest.fixture
def settings() -> HardwareSettings:
    """LCM on this machine."""
    return local_settings()


def test_processes_survive_the_loss_of_statuses_and_their_log_replays(
    settings: HardwareSettings, tmp_path: Path
) -> None:
    record = run_fault("burst loss", settings, tmp_path)
    assert record.limit_violations == 0
    assert record.cause_logged
    assert record.hold_ms is not None
    log = tmp_path / "tracker.lcmlog"
    found = replay(log)
    assert found.differing == 0
    assert found.commands > 100
    report = report_run(log)
    assert report.commands == found.commands
    assert ("tracker", "end", "SIGINT") in report.events
    assert report.interventions["stale state"] > 0
    episodes = read_episodes(log)
    # the box was not touched, and the pusher went where it was sent
    for episode in episodes:
        assert episode.observations.shape == (len(episode.actions) + 1, 12)
        assert np.ptp(episode.observations[:, :10], axis=0).max() < 0.003
        assert np.abs(np.diff(episode.observations[:, 10:], axis=0) - episode.actions).max() < 0.02


def test_robot_on_the_bus_moves_returns_what_it_sent_and_holds(settings: HardwareSettings, tmp_path: Path) -> None:
    with Processes(settings, tmp_path, ("simulator",)), LcmRobot(settings) as robot:
        assert isinstance(robot, Robot)
        start = robot.get_observation().tip
        robot.send_action(start)
        decisions = [robot.send_action(start + np.array([0.0, 0.02, 0.0])) for _ in range(150)]
        held = robot.stop()
        assert held.state.mode is Mode.HOLDING
        seen = robot.get_observation()
        assert held.joints is not None
        assert np.abs(seen.joints - held.joints).max() < 0.05
        assert np.linalg.norm(seen.tip - start) > 0.002
        assert seen.box == pytest.approx([0.75, 0.0, 0.0], abs=0.01)
        assert any(decision.joints is not None for decision in decisions)
        assert robot.estop().interventions == ("emergency stop",)
    assert not robot.is_connected


def test_robot_whose_driver_has_ended_sees_no_box_and_does_not_connect_again(
    settings: HardwareSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = LcmRobot(settings)
    with Processes(settings, tmp_path, ("simulator",)) as processes:
        robot.connect()
        robot.send_action(robot.get_observation().tip)
        assert np.isfinite(robot.get_observation().box).all()
        processes.stop("simulator")
    robot.get_observation()
    time.sleep(settings.keypoint_age)
    assert np.isnan(robot.get_observation().box).all()
    robot.disconnect()
    monkeypatch.setattr(lcm_robot, "CONNECT_TIMEOUT", settings.start_guard + 0.2)
    with pytest.raises(HardwareError, match="No driver is ready"):
        robot.connect()


def test_planner_plans_on_when_it_hears_plans_that_nobody_can_follow(
    settings: HardwareSettings, tmp_path: Path
) -> None:
    bus = Bus(settings.url, [settings.plan_channel])
    bad = [make_plan(np.zeros((count, 3)), 0, step, 0, 0) for count, step in ((0, 0.5), (2, 0.0))]
    heard: list[int] = []
    with Processes(settings, tmp_path, ("simulator", "planner")) as processes:
        end = time.monotonic() + 20.0
        while len(heard) < 3 and time.monotonic() < end:
            for packet in bad:
                bus.publish(settings.plan_channel, packet)
            processes.wait(0.02)
            heard += [packet.time for packet in bus.receive(0.0) if packet.data not in bad]
    assert len(heard) >= 3


def test_commands_stop_a_tracker_that_runs_and_let_it_go_on(settings: HardwareSettings, tmp_path: Path) -> None:
    def order(word: str) -> dict[str, Any]:
        words = [COMMAND_LINE, "hardware", word, "--json", "--settings", str(tmp_path / "tracker.json")]
        done = subprocess.run(words, check=True, capture_output=True, timeout=60)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    with Processes(settings, tmp_path), Bus(settings.url, [settings.command_channel]) as bus:
        bus.receive(30.0)
        bus.receive(30.0)
        answer = order("stop")
        assert answer["mode"] == "HOLDING"
        assert "emergency stop" in answer["interventions"]
        bus.receive(0.0)
        held = [COMMAND_DECODER.decode(bus.receive(1.0)[-1].data).joint_position for _ in range(5)]
        assert np.ptp(held, axis=0).max() == 0.0
        assert order("reset")["mode"] == "RUNNING"
    assert replay(tmp_path / "tracker.lcmlog").differing == 0


def test_order_that_nobody_answers_is_an_error(settings: HardwareSettings) -> None:
    with pytest.raises(HardwareError, match="No tracker has answered on SAFETY"):
        tell_tracker(settings, "stop", patience=0.1)


def test_robot_without_a_driver_says_so(settings: HardwareSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lcm_robot, "CONNECT_TIMEOUT", 0.05)
    with pytest.raises(HardwareError, match="No driver is ready"):
        LcmRobot(settings).connect()


def test_motion_to_a_start_arrives_within_the_limits() -> None:
    with SimulatedRobot() as robot:
        goal = robot.get_observation().tip + np.array([0.0, 0.03, 0.01])
        assert np.linalg.norm(move_to(robot, goal) - goal) <= 0.002
        with pytest.raises(HardwareError, match="not at .*: pusher speed"):
            move_to(robot, goal + np.array([0.0, 0.15, 0.0]), actions=100)
        with pytest.raises(OptionError, match="its workspace is"):
            move_to(robot, goal + np.array([0.0, 0.0, 1.0]), actions=50)
