"""The simulated robot: what is sent is returned, stopping holds, leaving stops, and a dry run moves nothing."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from trajopt_sgp.errors import HardwareError, NotFiniteError, OptionError, ShapeError

pytest.importorskip("mujoco")

from trajopt_sgp.hardware import lcm_robot
from trajopt_sgp.hardware.arm import VERTICAL_POSE, ArmKinematics, ArmSimulation, BoxParameters
from trajopt_sgp.hardware.bus import LogWriter, Packet, read_log
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.decision_log import COMMANDED, SAFETY_CHANNEL, make_command
from trajopt_sgp.hardware.driver_state import BURST
from trajopt_sgp.hardware.faults.judge import count_tip_violations
from trajopt_sgp.hardware.lcm_robot import LcmRobot
from trajopt_sgp.hardware.messages import COMMAND_DECODER, SAFETY_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.motions import move_to
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.processes.local_bus import LocalBus
from trajopt_sgp.hardware.replay import SETTINGS, replay
from trajopt_sgp.hardware.replayed_robot import ReplayedRobot
from trajopt_sgp.hardware.robot import Robot
from trajopt_sgp.hardware.safety import Mode, iiwa_limits
from trajopt_sgp.hardware.safety.iiwa import TORQUE_TRIP
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot
from trajopt_sgp.hardware.tracker.plan import make_plan
from trajopt_sgp.hardware.tracker.process import Tracker


def drive(robot: SimulatedRobot, ticks: int) -> None:
    """Move the pusher away from the box."""
    start = robot.get_observation().tip
    robot.send_action(start)
    for _ in range(ticks):
        robot.send_action(start + np.array([0.03, 0.1, 0.0]))


def test_simulated_robot_is_a_robot_and_tells_its_features_offline() -> None:
    assert SimulatedRobot.action_features == {"pusher": (3,)}
    robot = SimulatedRobot()
    assert isinstance(robot, Robot)
    seen = robot.get_observation()
    assert all(getattr(seen, name).shape == shape for name, shape in robot.observation_features.items())


def test_action_needs_a_connection() -> None:
    with pytest.raises(HardwareError, match="call connect"):
        SimulatedRobot().send_action(np.zeros(3))


@pytest.mark.parametrize("pusher", [np.array(0.5), [0.5], np.zeros(2), np.zeros((1, 3)), ["a", "b", "c"]])
def test_action_that_is_no_position_is_refused(pusher: ArrayLike) -> None:
    with SimulatedRobot() as robot:
        with pytest.raises(ShapeError, match="x, y and z"):
            robot.send_action(pusher)
        assert robot.actions.asked == 0
        assert robot.send_action(robot.get_observation().tip.tolist()).state.mode is Mode.RUNNING


@pytest.mark.parametrize("target", [[500.0, 0.0, 50.0], [0.5, 0.0, -0.05], [0.3, 0.0, 0.05], [np.nan, 0.0, 0.05]])
def test_target_that_cannot_be_is_refused_before_anything_moves(target: list[float]) -> None:
    with SimulatedRobot() as robot:
        before = robot.get_observation()
        with pytest.raises((OptionError, NotFiniteError), match="cannot go to"):
            move_to(robot, np.array(target))
        assert robot.get_observation().time == before.time


def test_motion_that_is_stopped_for_good_is_not_waited_for() -> None:
    with SimulatedRobot() as robot:
        drive(robot, 10)
        robot.estop()
        before = robot.actions.asked
        with pytest.raises(HardwareError, match="emergency stop"):
            move_to(robot, np.array([0.5, 0.0, 0.05]))
        assert robot.actions.asked == before + 1


def test_stop_brakes_and_holds_and_motion_may_follow() -> None:
    with SimulatedRobot() as robot:
        drive(robot, 60)
        assert robot.stop().state.mode is Mode.HOLDING
        held = robot.stop().joints
        again = robot.stop().joints
        assert held is not None and again is not None
        assert (held == again).all()
        assert robot.send_action(robot.get_observation().tip).state.mode is Mode.RUNNING


@pytest.mark.parametrize("wanted", [[0.2, 0.0, 0.0], [0.0, 0.2, 0.0], [0.1, -0.2, 0.0]])
def test_stop_keeps_the_tip_on_its_way_within_its_acceleration(wanted: list[float]) -> None:
    kinematics = ArmKinematics()
    with SimulatedRobot(dry=True, limits=iiwa_limits(fraction=1.0)) as robot:
        start = robot.get_observation().tip
        for ticks in range(150):
            robot.send_action(start + (np.array(wanted) if ticks > 20 else 0.0))
        decisions = [robot.send_action(np.full(3, np.nan)) for _ in range(50)]
    tips = np.array([kinematics.tip(decision.joints)[0] for decision in decisions if decision.joints is not None])
    speeds = np.linalg.norm(np.diff(tips, axis=0), axis=1) / robot.limits.period
    assert len(tips) == 50
    assert 0.1 < speeds[0] < 0.165
    assert speeds[-1] == 0.0
    assert count_tip_violations(tips, np.ones(49, dtype=bool), robot.limits) == 0
    way = (tips[1] - tips[0]) / np.linalg.norm(tips[1] - tips[0])
    aside = tips - tips[0] - np.outer((tips - tips[0]) @ way, way)
    assert np.abs(aside).max() < 5e-4


def test_emergency_stop_lasts_until_reset() -> None:
    with SimulatedRobot() as robot:
        drive(robot, 60)
        robot.estop()
        assert robot.send_action(robot.get_observation().tip).interventions == ("emergency stop",)
        robot.reset()
        assert robot.send_action(robot.get_observation().tip).state.mode is Mode.RUNNING


def test_error_in_the_loop_ends_in_a_held_position() -> None:
    robot = SimulatedRobot()
    with pytest.raises(ZeroDivisionError), robot:
        drive(robot, 60)
        1 / 0  # noqa: B018
    assert not robot.is_connected
    assert np.abs(robot.get_observation().velocities).max() < 0.1


def test_dry_run_decides_alike_and_moves_nothing() -> None:
    with SimulatedRobot(dry=True) as dry, SimulatedRobot() as real:
        before = dry.get_observation()
        drive(dry, 60)
        drive(real, 60)
        assert (dry.get_observation().joints == before.joints).all()
        assert dry.safety.joints and real.safety.joints
        assert np.allclose(dry.safety.joints.position, real.safety.joints.position, atol=1e-12)


def test_every_action_is_counted_once_where_it_comes_in_and_where_it_ends() -> None:
    with SimulatedRobot() as robot:
        start = robot.get_observation()
        for _ in range(100):
            robot.send_action(start.tip)  # joints settle into what the kinematics want
        before = robot.actions.followed
        robot.send_action(start.tip)
        assert robot.actions.followed == before + 1
        for _ in range(40):
            robot.send_action(start.tip + np.array([0.0, 0.1, 0.0]))
        robot.send_action(np.full(3, np.nan))
        robot.stop()
        count = robot.actions
        assert (count.asked, count.refused) == (142, 1)
        assert count.modified >= 40
        assert count.complete
        assert count.sent == round((robot.get_observation().time - start.time) / robot.limits.period) > 142
    robot.connect()
    assert robot.actions.asked == 0


def test_decisions_are_logged_as_they_were_returned(tmp_path: Path) -> None:
    path = tmp_path / "decisions.lcmlog"
    with SimulatedRobot(dry=True, log=path) as robot:
        start = robot.get_observation().tip
        decisions = [robot.send_action(start), robot.send_action(start + 0.01), robot.send_action(np.full(3, np.nan))]
        robot.stop()
    logged = list(read_log(path))
    words = [SAFETY_DECODER.decode(packet.data) for packet in logged if packet.channel == SAFETY_CHANNEL]
    sent = [COMMAND_DECODER.decode(packet.data) for packet in logged if packet.channel == COMMANDED]
    assert [word.interventions for word in words[:3]] == ["; ".join(decision.interventions) for decision in decisions]
    for message, decision in zip(sent, decisions, strict=False):
        assert decision.joints is not None
        assert tuple(message.joint_position) == tuple(decision.joints)


def test_full_disk_is_an_error_and_the_arm_is_held_all_the_same() -> None:
    robot = SimulatedRobot(log=Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"), robot:
        drive(robot, 400)
    assert np.abs(robot.get_observation().velocities).max() < 0.1


def test_stop_on_a_full_disk_holds_the_arm_before_it_says_so() -> None:
    with SimulatedRobot(log=Path("/dev/full")) as robot:
        drive(robot, 12)  # what is logged of them is still in memory
        with pytest.raises(OSError, match="No space left"):
            robot.stop()
        assert robot.safety.mode is Mode.HOLDING


@pytest.mark.parametrize("actions", [10, 12, 14, 16, 18, 20])
def test_leaving_on_a_full_disk_holds_the_arm_before_it_says_so(actions: int) -> None:
    robot = SimulatedRobot(log=Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"), robot:
        drive(robot, actions)
    assert not robot.is_connected
    assert np.abs(robot.get_observation().velocities).max() < 0.1


def test_robot_leaves_logs_that_are_there_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    robot = SimulatedRobot(log=path)
    with robot:
        drive(robot, 2)
    before = path.read_bytes()
    with pytest.raises(HardwareError, match="exists already"):
        robot.connect()
    assert path.read_bytes() == before


def test_log_that_was_cut_off_anywhere_replays_all_but_its_last_decision(tmp_path: Path) -> None:
    log, cut = tmp_path / "log", tmp_path / "cut"
    driver = SimulatedDriver(WIRE, ArmSimulation(), np.random.default_rng(0))
    driver.packets = 300
    tracker = Tracker(WIRE, log, LocalBus(driver))
    for turn in range(25):
        if turn % 10 == 5:
            plan = make_plan(driver.simulation.state.tip[None], now(), 0.5, now(), now())
            tracker.take(Packet(now(), WIRE.plan_channel, plan))
        tracker.turn()
    tracker.end("over")
    whole = replay(log)
    assert (whole.differing, whole.unfinished) == (0, False)
    assert whole.commands > 20
    data = log.read_bytes()
    for length in range(len(data) - 150, len(data) - 1050, -150):
        cut.write_bytes(data[:length])
        found = replay(cut)
        assert (found.differing, found.unfinished) == (0, True)
        assert found.ticks >= whole.ticks - 8


def test_log_is_a_robot_that_measures_again_what_was_measured(tmp_path: Path) -> None:
    settings, log = HardwareSettings(state_age=0.5, keypoint_age=0.5), tmp_path / "log"
    tracker = Tracker(settings, log, LocalBus(SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))))
    for _ in range(40):
        tracker.turn()
    tracker.end("over")
    statuses = [packet.data for packet in read_log(log) if packet.channel == settings.status_channel]
    robot = ReplayedRobot(log, log=tmp_path / "again")
    assert isinstance(robot, Robot)
    assert len(robot) == len(statuses)
    with robot:
        for status in statuses:
            seen = robot.get_observation()
            assert seen.joints.tolist() == list(STATUS_DECODER.decode(status).joint_position_measured)
            robot.send_action(seen.tip)
        # the last state stays
        assert robot.get_observation().joints.tolist() == list(
            STATUS_DECODER.decode(statuses[-1]).joint_position_measured
        )
        assert robot.safety.mode is Mode.RUNNING
        seen = robot.get_observation()
        assert seen.box == pytest.approx([0.75, 0.0, 0.0], abs=0.01)
        assert all(getattr(seen, name).shape == shape for name, shape in robot.observation_features.items())
    with pytest.raises(HardwareError, match="no log of a tracker"):
        ReplayedRobot(tmp_path / "again")


def test_robot_of_a_log_sees_the_box_as_long_as_motion_capture_did(tmp_path: Path) -> None:
    settings = HardwareSettings()
    driver = SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))
    late = 20_000 + round(1e6 * settings.keypoint_age)
    with LogWriter(tmp_path / "log") as log:
        log.write(Packet(0, SETTINGS, json.dumps(asdict(settings)).encode()))
        log.write(Packet(10_000, settings.frame_channel, driver.frame(10_000)))
        for received in (20_000, late):
            log.write(Packet(received, settings.status_channel, driver.status(received)))
    with ReplayedRobot(tmp_path / "log") as robot:
        assert robot.get_observation().box == pytest.approx([0.75, 0.0, 0.0], abs=0.01)
        robot.send_action(robot.get_observation().tip)
        assert np.isnan(robot.get_observation().box).all()


def test_blocked_arm_stops_before_the_driver_exits() -> None:
    """The pusher stands before a box that it cannot move, and is wanted on the other side of it."""
    simulation = ArmSimulation(BoxParameters(mass=100.0, table_friction=1.0))
    start = np.array([0.6, 0.0, 0.02])
    simulation.reset(ArmKinematics(iterations=200).solve_joints(start, VERTICAL_POSE), (0.7, 0.0, 0.0))
    with SimulatedRobot(simulation) as robot:
        robot.send_action(start)
        for _ in range(400):
            robot.send_action(start + np.array([0.2, 0.0, 0.0]))
            assert (np.abs(robot.get_observation().external_torques) < TORQUE_TRIP).all()
        assert robot.safety.latched == {"external torque"}
        assert robot.safety.mode is Mode.HOLDING


def test_driver_sends_the_torques_of_the_simulation_and_exits_where_they_are_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, simulation = HardwareSettings(), ArmSimulation()
    driver = SimulatedDriver(settings, simulation, np.random.default_rng(0))
    driver.step()
    status = STATUS_DECODER.decode(driver.status(0))
    assert status.joint_torque_measured == pytest.approx(-simulation.motor_torques)
    assert np.abs(status.joint_torque_measured).max() > 1.0  # gravity
    assert not any(status.joint_torque_external)  # nothing is touched
    monkeypatch.setattr("trajopt_sgp.hardware.processes.driver.TORQUE_TRIP", np.full(7, -1.0))
    with pytest.raises(HardwareError, match="external torques"):
        driver.step()


WIRE = HardwareSettings(start_guard=0.02, state_age=5.0, keypoint_age=0.5)


class Wire:
    """A bus with the simulated driver on it, whose packets wait until they are received, our own among them."""

    def __init__(self, settings: HardwareSettings = WIRE) -> None:
        self.settings = settings
        self.driver = SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))
        self.driver.packets = 300
        self.alive, self.copies = True, 1
        self.status: Callable[[bytes], bytes] = bytes
        self.waiting: list[Packet] = []
        self.commands: list[Packet] = []

    def now(self) -> int:
        """Return the time [µs]."""
        return now()

    def publish(self, channel: str, data: bytes) -> None:
        """Send one packet, which the driver obeys and everybody hears, as often as the network repeats it."""
        self.driver.command(data)
        self.commands.append(Packet(self.now(), channel, data))
        self.waiting += self.copies * self.commands[-1:]

    def receive(self, timeout: float) -> list[Packet]:
        """Return what waits; a period passes if there is time for it."""
        time.sleep(min(timeout, 0.001))
        if timeout > 0 and self.alive:
            self.measure()
        waiting, self.waiting = self.waiting, []
        return waiting

    def measure(self) -> None:
        """Let a period pass."""
        self.driver.step()
        time = self.now()
        self.waiting.append(Packet(time, WIRE.status_channel, self.status(self.driver.status(time))))
        self.waiting.append(Packet(time, WIRE.frame_channel, self.driver.frame(time)))

    def move_box(self, x: float) -> None:
        """Show the box at another place."""
        simulation = self.driver.simulation
        simulation.reset(simulation.state.joints, (x, 0.0, 0.0))
        self.measure()


class TimedWire(Wire):
    """The same in simulated time, a millisecond between statuses, so that a busy machine changes nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: HardwareSettings = WIRE) -> None:
        super().__init__(settings)
        self.time = 10**9
        monkeypatch.setattr(lcm_robot, "now", self.now)

    def now(self) -> int:
        """Return the simulated time [µs]."""
        return self.time

    def receive(self, timeout: float) -> list[Packet]:
        """Return what waits after a millisecond, or less."""
        if timeout > 0:
            self.time += max(round(1e6 * min(timeout, 0.001)), 1)
            if self.alive:
                self.measure()
        waiting, self.waiting = self.waiting, []
        return waiting


def connected(wire: Wire) -> LcmRobot:
    """A robot behind the wire that stands where it was commanded to."""
    robot = LcmRobot(wire.settings, wire)
    robot.connect()
    robot.send_action(robot.get_observation().tip)
    return robot


def test_statuses_that_come_too_often_move_the_arm_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = TimedWire(monkeypatch)
    robot = connected(wire)
    begun = wire.time
    for _ in range(40):
        robot.send_action(robot.get_observation().tip)
    assert 40 - BURST <= 1e-6 * (wire.time - begun) / WIRE.period <= 40.5


def repeated() -> Callable[[bytes], bytes]:
    """Every status is the first."""
    first: list[bytes] = []

    def change(packet: bytes) -> bytes:
        first[:] = first or [packet]
        return first[0]

    return change


def frozen() -> Callable[[bytes], bytes]:
    """Every status has the joints of the first."""
    same = repeated()

    def change(packet: bytes) -> bytes:
        message = STATUS_DECODER.decode(packet)
        message.joint_position_measured = STATUS_DECODER.decode(same(packet)).joint_position_measured
        return bytes(message.encode())

    return change


@pytest.mark.parametrize(("change", "cause"), [(repeated(), "stale state"), (frozen(), "frozen state")])
def test_status_that_is_repeated_is_none(
    change: Callable[[bytes], bytes], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = TimedWire(monkeypatch, replace(WIRE, state_age=0.1))
    robot = connected(wire)
    wire.status, start = change, robot.get_observation().tip
    decision = robot.send_action(start)
    while decision.state.mode is Mode.RUNNING:
        decision = robot.send_action(start + np.array([0.0, 0.2, 0.0]))
    assert cause in decision.interventions
    assert "tracking error" not in decision.interventions


def test_box_that_moves_while_the_program_does_something_else_is_followed() -> None:
    wire = Wire()
    robot = connected(wire)
    assert robot.get_observation().box == pytest.approx([0.75, 0.0, 0.0], abs=0.005)
    for x in np.linspace(0.75, 0.80, 20):
        wire.move_box(x)
    assert robot.get_observation().box == pytest.approx([0.80, 0.0, 0.0], abs=0.005)


def test_box_that_motion_capture_has_lost_is_not_a_number() -> None:
    wire = Wire()
    robot = connected(wire)
    assert np.isfinite(robot.get_observation().box).all()
    wire.alive = False
    time.sleep(1.1 * WIRE.keypoint_age)
    seen = robot.get_observation()
    assert np.isnan(seen.box).all()
    assert np.isfinite(seen.tip).all()


def test_own_command_that_the_network_repeats_is_not_that_of_another() -> None:
    wire = Wire()
    wire.copies = 2
    robot = connected(wire)
    decisions = [robot.send_action(robot.get_observation().tip) for _ in range(20)]
    assert all("foreign commander" not in decision.interventions for decision in decisions)
    wire.waiting.append(Packet(now(), WIRE.command_channel, make_command(1, np.array(VERTICAL_POSE))))
    assert "foreign commander" in robot.send_action(robot.get_observation().tip).interventions


def test_own_commands_that_never_come_back_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lcm_robot, "OWN_COMMANDS", 10)
    wire = Wire()
    wire.copies = 0
    robot = connected(wire)
    for _ in range(12):
        robot.send_action(robot.get_observation().tip)
    for number, foreign in ((-10, False), (-12, True)):
        wire.waiting.append(wire.commands[number])
        decision = robot.send_action(robot.get_observation().tip)
        assert ("foreign commander" in decision.interventions) is foreign


def test_what_waited_on_the_bus_is_no_sign_of_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lcm_robot, "CONNECT_TIMEOUT", 0.1)
    wire = Wire()
    robot = connected(wire)
    robot.disconnect()
    wire.measure()
    wire.alive = False
    with pytest.raises(HardwareError, match="No driver is ready"):
        robot.connect()


def test_a_driver_that_restarts_is_left_alone_until_it_is_ready() -> None:
    """It would exit at a command that comes too soon, and holds the arm where it is until then."""
    wire = Wire()
    robot = connected(wire)
    for _ in range(10):
        robot.send_action(robot.get_observation().tip)
    wire.driver = SimulatedDriver(WIRE, wire.driver.simulation, np.random.default_rng(0))
    decision = robot.send_action(robot.get_observation().tip)
    assert decision.interventions == ("driver starting",) and decision.joints is None
    assert robot.safety.joints is None
    sent, waited = robot.actions.sent, 0
    while robot.actions.sent == sent:
        robot.send_action(robot.get_observation().tip)
        waited += 1
        assert waited < 400
    # its clock is set after 200 packets
    assert wire.driver.packets > 200
    assert robot.send_action(robot.get_observation().tip).interventions == ()
    robot.disconnect()


def test_driver_that_was_silent_is_sent_nothing_and_taken_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = TimedWire(monkeypatch, replace(WIRE, state_age=0.1))
    robot = connected(wire)
    wire.alive, start = False, robot.get_observation().tip
    decisions = [robot.send_action(start) for _ in range(110)]
    assert decisions[-1].interventions == ("stale state", "silent")
    sent = robot.actions.sent
    assert robot.send_action(start).joints is None
    assert robot.actions.sent == sent
    # its clock is set already when it is heard again
    wire.driver = SimulatedDriver(wire.settings, wire.driver.simulation, np.random.default_rng(0))
    wire.driver.packets = 220
    wire.alive = True
    assert robot.send_action(start).interventions == ("driver starting",)
    assert robot.safety.joints is None


def test_program_that_pauses_goes_on_with_the_driver_that_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = TimedWire(monkeypatch)
    robot = connected(wire)
    for _ in range(100):
        wire.time += 10_000
        wire.measure()
    # a bus gives packets the time at which they are taken from it
    wire.waiting = [packet._replace(time=wire.time) for packet in wire.waiting]
    assert robot.send_action(robot.get_observation().tip).state.mode is Mode.RUNNING
