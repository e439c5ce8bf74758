"""The tracker's decisions in lockstep with the simulated driver: each fault stops the arm, is named, and passes."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("mujoco")

from trajopt_sgp.errors import HardwareError, MessageError
from trajopt_sgp.hardware.arm import ArmKinematics, ArmSimulation
from trajopt_sgp.hardware.bus import Packet
from trajopt_sgp.hardware.bus.events import make_event
from trajopt_sgp.hardware.messages import COMMAND, COMMAND_DECODER, FRAME_DECODER, STATUS_DECODER, codec
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker import TrackerState, advance
from trajopt_sgp.hardware.tracker.plan import make_plan, pusher_at
from trajopt_sgp.hardware.tracker.receive import OPERATOR, RESET, STOP, TICK, skipped

SETTINGS = HardwareSettings(start_guard=0.1)
PERIOD = 5000
KINEMATICS = ArmKinematics()
Change = Callable[[bytes], bytes | None]


class Lockstep:
    """Driver and tracker, one period after the other, without a bus."""

    def __init__(self) -> None:
        self.driver = SimulatedDriver(SETTINGS, ArmSimulation(), np.random.default_rng(0))
        self.driver.packets = 180
        self.state = TrackerState()
        self.time = 10**9
        self.reasons: set[str] = set()
        self.commands: list[list[float]] = []
        self.planning = True
        self.start = self.driver.simulation.state.tip

    def feed(self, channel: str, data: bytes) -> None:
        """Give the tracker one packet, and the driver what follows."""
        self.state, tick = advance(SETTINGS, self.state, Packet(self.time, channel, data), KINEMATICS)
        if tick:
            self.reasons |= set(tick.interventions)
        if tick and tick.command:
            self.driver.command(tick.command)
            self.commands.append(list(COMMAND_DECODER.decode(tick.command).joint_position))

    def run(self, periods: int, status: Change = bytes, frame: Change = bytes) -> set[str]:
        """Let periods pass, statuses and frames being changed or lost on their way; return the interventions."""
        self.reasons = set()
        for _ in range(periods):
            self.time += PERIOD
            self.driver.step()
            number = self.driver.packets
            packet = status(self.driver.status(self.time + 10**12))
            seen = frame(self.driver.frame(self.time)) if number % 2 == 0 else None
            if seen is not None:
                self.feed(SETTINGS.frame_channel, seen)
            if self.planning and number % 50 == 0:
                self.plan()
            if packet is not None:
                self.feed(SETTINGS.status_channel, packet)
            self.feed(TICK, b"")
        return self.reasons

    def plan(self) -> None:
        """Send the plan of a slow motion to and fro."""
        times = self.time * 1e-6 + 0.25 * np.arange(8)
        knots = self.start + 0.019 * np.outer(np.sin(2 * times), [0.0, 1.0, 0.0])
        self.feed(SETTINGS.plan_channel, make_plan(knots, self.time, 0.25, self.time, self.time))

    def mode(self) -> Mode:
        """Of the safety filter."""
        return self.state.safety.mode


def running() -> Lockstep:
    """A run whose arm moves."""
    lockstep = Lockstep()
    assert lockstep.run(100) >= {"driver starting"}
    assert lockstep.mode() is Mode.RUNNING
    return lockstep


def changed_status(name: str, value: object) -> Change:
    """A change of one field of every status."""

    def change(packet: bytes) -> bytes:
        message = STATUS_DECODER.decode(packet)
        setattr(message, name, value)
        return bytes(message.encode())

    return change


def frozen() -> Change:
    """Every status has the joints of the first."""
    first: list[list[float]] = []

    def change(packet: bytes) -> bytes:
        message = STATUS_DECODER.decode(packet)
        first[:] = first or [message.joint_position_measured]
        message.joint_position_measured = first[0]
        return bytes(message.encode())

    return change


def markers_at_one_point(packet: bytes) -> bytes:
    """A frame in which all markers stand where the first one does."""
    message = FRAME_DECODER.decode(packet)
    markers = message.marker_sets[0]
    markers.xyz = [markers.xyz[0]] * markers.num_markers
    return bytes(message.encode())


def lost(packet: bytes) -> None:
    """Nothing arrives."""


FAULTS: dict[str, tuple[dict[str, Change], str]] = {
    "no status": ({"status": lost}, "stale state"),
    "NaN": ({"status": changed_status("joint_position_measured", [np.nan] * 7)}, "refused IIWA_STATUS: number"),
    "fingerprint": ({"status": lambda packet: b"\0" + packet[1:]}, "refused IIWA_STATUS: fingerprint"),
    "frozen": ({"status": frozen()}, "frozen state"),
    "no frames": ({"frame": lost}, "stale keypoints"),
    "markers at one point": ({"frame": markers_at_one_point}, "refused frame: markers not rigid"),
    "old time": ({}, "old status"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_stops_the_arm_is_named_and_passes(name: str) -> None:
    changes, cause = FAULTS[name]
    lockstep = running()
    if name == "old time":  # a clock that stands still is not behind by so much that it has jumped
        changes = {"status": changed_status("utime", lockstep.state.driver.utime)}
    reasons = lockstep.run(130, **changes)
    assert cause in reasons
    assert lockstep.mode() is Mode.HOLDING
    held = lockstep.commands[-1]
    lockstep.run(20, **changes)
    assert lockstep.commands[-20:] == [held] * 20  # and is sent again and again
    lockstep.run(200)
    assert lockstep.mode() is Mode.RUNNING
    steps = np.abs(np.diff(lockstep.commands, axis=0)) / SETTINGS.period
    assert (steps <= SETTINGS.limits.joints.rate + 1e-9).all()


def test_statuses_that_are_late_are_not_frozen() -> None:
    """While none comes, nothing says that the arm stands still; their age limit answers for that."""
    lockstep = running()
    for _ in range(4):
        assert "frozen state" not in lockstep.run(round(0.9 * SETTINGS.state_age / SETTINGS.period), status=lost)
        assert lockstep.mode() is Mode.RUNNING
        lockstep.run(30)


@pytest.mark.parametrize("name", ["NaN", "frozen", "no frames"])
def test_hold_at_full_speed_is_reached_well_within_a_quarter_of_a_second(name: str) -> None:
    lockstep = running()
    lockstep.planning = False
    knots = lockstep.start + np.array([[0.0, 0.0, 0.0], [0.0, 0.2, 0.0]])
    lockstep.feed(SETTINGS.plan_channel, make_plan(knots, lockstep.time, 0.9, lockstep.time, lockstep.time))
    lockstep.run(90)
    reference = lockstep.state.safety.pusher
    assert reference
    assert np.linalg.norm(reference.velocity) > 0.99 * SETTINGS.speed
    held_after = 0
    while lockstep.mode() is not Mode.HOLDING:
        lockstep.run(1, **FAULTS[name][0])
        held_after += 1
    assert held_after * SETTINGS.period <= 0.235


def test_plan_that_is_not_renewed_ends_in_a_hold() -> None:
    lockstep = running()
    lockstep.planning = False
    assert "stale plan" in lockstep.run(300)
    assert lockstep.mode() is Mode.HOLDING


def test_planner_that_falls_silent_or_ends_is_not_followed() -> None:
    lockstep = running()
    assert "planner silent" not in lockstep.run(100)  # it has never given a sign of life
    lockstep.feed(SETTINGS.event_channel, make_event("planner", "alive", ""))
    assert "planner silent" not in lockstep.run(round(SETTINGS.heartbeat_age / SETTINGS.period))
    assert {"planner silent", "stale plan"} <= lockstep.run(50)
    assert lockstep.mode() is Mode.HOLDING
    lockstep.feed(SETTINGS.event_channel, make_event("planner", "alive", ""))
    lockstep.run(2)
    assert lockstep.mode() is Mode.RUNNING
    lockstep.planning = False
    lockstep.feed(SETTINGS.event_channel, make_event("simulator", "end", ""))
    lockstep.run(2)
    assert lockstep.mode() is Mode.RUNNING
    lockstep.feed(SETTINGS.event_channel, make_event("planner", "end", "ValueError: no"))
    assert {"planner ended: ValueError: no", "stale plan"} <= lockstep.run(50)
    assert lockstep.mode() is Mode.HOLDING


def test_old_plan_changes_nothing_and_a_bad_one_ends_in_a_hold() -> None:
    lockstep = running()
    plan, lockstep.planning = lockstep.state.plan, False
    lockstep.feed("PLAN", make_plan(np.zeros((2, 3)), lockstep.time, 0.5, plan.utime, lockstep.time))
    assert "refused plan: its time" in lockstep.run(1)
    assert lockstep.state.plan is plan
    for knots, step in ((np.full((3, 3), np.nan), 0.5), (np.zeros((0, 3)), 0.5), (np.zeros((2, 3)), -1.0)):
        lockstep.feed("PLAN", make_plan(knots, lockstep.time, step, lockstep.time, lockstep.time))
    assert lockstep.run(100) >= {"refused PLAN: number", "refused plan: no knots in time", "stale plan"}
    assert lockstep.mode() is Mode.HOLDING
    lockstep.planning = True
    lockstep.run(100)
    assert lockstep.mode() is Mode.RUNNING


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, [0.0, 0.0, 0.0]), (1.0, [0.3, 0.2, 0.0])])
def test_plan_that_begins_elsewhere_is_not_followed(scale: float, shift: list[float]) -> None:
    lockstep = running()
    plan, lockstep.planning = lockstep.state.plan, False
    elsewhere = scale * np.tile(lockstep.start, (2, 1)) + shift
    lockstep.feed("PLAN", make_plan(elsewhere, lockstep.time, 0.5, lockstep.time, lockstep.time))
    assert "refused plan: begins elsewhere" in lockstep.run(1)
    assert lockstep.state.plan is plan
    assert "stale plan" in lockstep.run(300)
    lockstep.feed("PLAN", make_plan(elsewhere, lockstep.time, 0.5, lockstep.time, lockstep.time))
    lockstep.run(2)
    assert lockstep.mode() is Mode.HOLDING
    lockstep.planning = True
    lockstep.run(100)
    assert lockstep.mode() is Mode.RUNNING


def test_clock_that_jumps_stops_for_a_moment() -> None:
    for jump in (10**7, -(10**7)):
        lockstep = running()

        def change(packet: bytes, jump: int = jump) -> bytes:
            message = STATUS_DECODER.decode(packet)
            message.utime += jump
            return bytes(message.encode())

        assert "clock jumped" in lockstep.run(10, status=change)
        assert lockstep.mode() in (Mode.STOPPING, Mode.HOLDING)
        lockstep.run(150, status=change)
        assert lockstep.mode() is Mode.RUNNING


def test_command_of_another_stops_until_reset_and_our_own_does_not() -> None:
    lockstep = running()
    lockstep.feed("IIWA_COMMAND", lockstep.state.sent[-10])
    lockstep.run(5)
    assert lockstep.mode() is Mode.RUNNING
    other = codec(COMMAND)()
    other.num_joints, other.joint_position = 7, [0.0] * 7
    lockstep.feed("IIWA_COMMAND", other.encode())
    assert lockstep.run(150) >= {"command of another", "foreign commander"}
    assert lockstep.mode() is Mode.HOLDING
    lockstep.feed(RESET, b"")
    lockstep.run(100)
    assert lockstep.mode() is Mode.RUNNING


@pytest.mark.parametrize("together", [False, True], ids=["apart", "together"])
def test_second_sender_of_statuses_is_named_and_stops_until_reset(together: bool) -> None:
    lockstep = running()
    other = SimulatedDriver(SETTINGS, ArmSimulation(), np.random.default_rng(1))
    other.packets = 300

    def between(packet: bytes) -> bytes:
        status = other.status(lockstep.time + 10**12 + PERIOD // 2)
        if together:  # in one call of the bus, of which only the last status is looked at
            told = skipped(lockstep.time, [Packet(lockstep.time, SETTINGS.status_channel, status)])
            lockstep.feed(told.channel, told.data)
        else:
            lockstep.feed(SETTINGS.status_channel, status)
        return packet

    assert "two status senders" in lockstep.run(220, status=between)
    assert lockstep.mode() is Mode.HOLDING
    assert "two status senders" in lockstep.run(20)
    lockstep.feed(RESET, b"")
    lockstep.run(220)
    assert lockstep.mode() is Mode.RUNNING


def test_operator_stops_the_arm_and_lets_it_go_on() -> None:
    lockstep = running()
    lockstep.feed(SETTINGS.event_channel, make_event(OPERATOR, "stop", ""))
    assert lockstep.run(100) >= {"stopped by the operator", "emergency stop"}
    assert lockstep.mode() is Mode.HOLDING
    lockstep.feed(SETTINGS.event_channel, make_event(OPERATOR, "dance", ""))
    lockstep.feed(SETTINGS.event_channel, make_event("simulator", "reset", ""))
    lockstep.run(20)
    assert lockstep.mode() is Mode.HOLDING
    lockstep.feed(SETTINGS.event_channel, make_event(OPERATOR, "reset", ""))
    assert "reset" in lockstep.run(100)
    assert lockstep.mode() is Mode.RUNNING


def test_statuses_that_the_network_repeats_have_one_sender() -> None:
    lockstep = running()

    def twice(packet: bytes) -> bytes:
        told = skipped(lockstep.time, 3 * [Packet(lockstep.time, SETTINGS.status_channel, packet)])
        lockstep.feed(told.channel, told.data)
        lockstep.feed(SETTINGS.status_channel, packet)
        return packet

    assert "two status senders" not in lockstep.run(300, status=twice)
    assert lockstep.mode() is Mode.RUNNING


def test_driver_that_begins_anew_is_not_sent_an_old_position() -> None:
    lockstep = running()
    lockstep.driver = SimulatedDriver(SETTINGS, ArmSimulation(), np.random.default_rng(1))
    before = len(lockstep.commands)
    assert "driver restarted" in lockstep.run(200)
    assert len(lockstep.commands) == before
    lockstep.run(20)
    first = np.array(lockstep.commands[before])
    assert np.abs(first - lockstep.driver.simulation.state.joints).max() < 0.01


def test_hold_is_not_sent_to_a_driver_that_is_gone_and_goes_on_when_it_is_back() -> None:
    lockstep = running()
    lockstep.run(130, status=lost)
    before = len(lockstep.commands)
    assert lockstep.run(50, status=lost) == {"stale state", "silent", "late status"}
    assert len(lockstep.commands) == before
    assert lockstep.run(100) >= {"driver restarted", "driver starting"}
    assert lockstep.mode() is Mode.RUNNING


def test_stop_is_named_and_held() -> None:
    lockstep = running()
    lockstep.feed(STOP, b"SIGTERM")
    assert lockstep.run(100) >= {"SIGTERM", "emergency stop"}
    assert lockstep.mode() is Mode.HOLDING


def test_burst_of_statuses_moves_no_faster_than_time() -> None:
    lockstep = running()
    before = len(lockstep.commands)
    for number in range(50):  # half a second's worth within one period
        message = STATUS_DECODER.decode(lockstep.driver.status(1))
        message.utime = lockstep.state.driver.utime + number
        lockstep.feed("IIWA_STATUS", message.encode())
    assert len(lockstep.commands) - before <= 3


def test_plan_is_a_function_of_time() -> None:
    from trajopt_sgp.hardware.messages import PLAN_DECODER

    knots = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    plan = PLAN_DECODER.decode(make_plan(knots, start=100, step=0.5, made=1, state_time=0))
    for time, expected in ((0, knots[0]), (250_100, [0.5, 0, 0]), (750_100, [1, 1, 0]), (10**9, knots[2])):
        assert pusher_at(plan, time) == pytest.approx(np.array(expected))


def test_driver_exits_where_the_real_one_does() -> None:
    driver = SimulatedDriver(SETTINGS, ArmSimulation(), np.random.default_rng(0))
    command = codec(COMMAND)()
    command.num_joints, command.joint_position = 7, [0.0] * 7
    with pytest.raises(HardwareError, match="start guard"):
        driver.command(command.encode())
    driver.packets = 300
    driver.command(command.encode())
    command.num_joints, command.joint_position = 6, [0.0] * 6
    with pytest.raises(HardwareError, match="6 joints"):
        driver.command(command.encode())
    with pytest.raises(MessageError):
        driver.command(b"nonsense")


def test_tracker_and_planner_import_no_torch() -> None:
    code = """
import sys
import trajopt_sgp.hardware.tracker.process
import trajopt_sgp.hardware.processes.sway
assert not {"torch", "casadi", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
