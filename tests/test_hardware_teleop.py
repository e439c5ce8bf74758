"""Moving the arm by hand: keys of a terminal, events of a joystick, through the safety filter, into a dataset."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmSimulation
from trajopt_sgp.hardware.bus import Bus, Packet
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.bus.events import make_event
from trajopt_sgp.hardware.dataset import read_episodes
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.processes.local_bus import LocalBus
from trajopt_sgp.hardware.replay import replay
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.settings import HardwareSettings, write_settings
from trajopt_sgp.hardware.teleop import Joystick, Keyboard, Pilot, Wish
from trajopt_sgp.hardware.teleop.joystick import AT_START, AXIS, BUTTON, EVENT
from trajopt_sgp.hardware.tracker.process import Tracker
from trajopt_sgp.hardware.tracker.receive import OPERATOR

COMMAND = str(Path(sys.executable).with_name("trajopt-sgp"))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Ends of a pseudo-terminal: that of the person, and that of the program."""
    person, program = pty.openpty()
    yield person, program
    os.close(person)
    os.close(program)


@pytest.mark.parametrize(
    ("keys", "wish"),
    [
        (b"w", Wish((0.005, 0.0))),
        (b"\x1b[D\x1b[D\x1bOA", Wish((0.005, 0.01))),
        (b"+dd-d", Wish((0.0, -0.025))),
        (b"w ", Wish(stop=True)),
        (b"x", Wish(stop=True)),
        (b"r", Wish(reset=True)),
        (b" wq", Wish(end="ended by hand")),
        (b"", Wish()),
    ],
)
def test_keys_are_wishes(terminal: tuple[int, int], keys: bytes, wish: Wish) -> None:
    person, program = terminal
    with Keyboard(program) as keyboard:
        os.write(person, keys)
        assert keyboard.read() == wish


def test_sequence_in_two_parts_is_one_key_and_an_escape_alone_stops(terminal: tuple[int, int]) -> None:
    person, program = terminal
    with Keyboard(program) as keyboard:
        os.write(person, b"\x1b")
        assert keyboard.read() == Wish()
        os.write(person, b"[B")
        assert keyboard.read() == Wish((-0.005, 0.0))
        os.write(person, b"\x1b")
        assert [keyboard.read(), keyboard.read()] == [Wish(), Wish(stop=True)]


def test_terminal_is_left_as_it_was_found_and_a_closed_one_ends(terminal: tuple[int, int]) -> None:
    import termios

    _, program = terminal
    before = termios.tcgetattr(program)
    with Keyboard(program):
        assert termios.tcgetattr(program)[3] != before[3]
    assert termios.tcgetattr(program) == before
    reader, writer = os.pipe()
    with pytest.raises(HardwareError, match="terminal"), Keyboard(reader):
        pass
    os.close(writer)
    assert Keyboard(reader).read().end
    os.close(reader)


def test_stick_sets_the_velocity_and_stops_until_it_was_in_the_middle(tmp_path: Path) -> None:
    device = tmp_path / "js0"
    os.mkfifo(device)
    with Joystick(device, speed=0.1) as joystick:
        writer = os.open(device, os.O_WRONLY)

        def moved(*events: tuple[int, int, int]) -> Wish:
            os.write(writer, b"".join(EVENT.pack(0, *event) for event in events))
            return joystick.read()

        assert not moved((0, AXIS | AT_START, 0), (0, AXIS | AT_START, 1), (1, BUTTON | AT_START, 0)).moves
        assert moved((-32767, AXIS, 1)).velocity == pytest.approx((0.1, 0.0))
        assert moved((32767, AXIS, 0)).velocity == pytest.approx((0.1, -0.1))
        assert joystick.read().velocity == pytest.approx((0.1, -0.1))
        assert moved((1, BUTTON, 0)).stop
        assert not joystick.read().moves
        assert not moved((0, AXIS, 0), (0, AXIS, 1)).moves
        assert moved((32767, AXIS, 1)).velocity == pytest.approx((-0.1, 0.0))
        assert moved((1000, AXIS, 1)).velocity == (0.0, 0.0)
        assert moved((1, BUTTON, 1)).end
        os.close(writer)
        assert joystick.read().end == "the joystick is gone"


def test_joystick_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match=r"no joystick at .*js7"), Joystick(tmp_path / "js7"):
        pass


class Script:
    """Controls that want one thing after another, each for some turns."""

    def __init__(self, wishes: Sequence[tuple[int, Wish]]) -> None:
        self._wishes = iter([wish for turns, wish in wishes for _ in range(turns)])

    def read(self) -> Wish:
        return next(self._wishes, Wish(end="over"))

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *exception: object) -> None: ...


def test_stop_by_hand_holds_until_motion_is_wanted_and_the_log_replays(tmp_path: Path) -> None:
    settings = HardwareSettings(state_age=0.3, keypoint_age=0.4)
    simulation = ArmSimulation()
    log = tmp_path / "log"
    tracker = Tracker(settings, log, LocalBus(SimulatedDriver(settings, simulation, np.random.default_rng(0))))
    modes: list[Mode] = []
    wishes = [
        (260, Wish()),
        (180, Wish(velocity=(0.0, 0.08))),
        (60, Wish(stop=True)),
        (20, Wish()),
        (1, Wish((0.0, -0.02))),
        (150, Wish()),
    ]
    pilot = Pilot(tracker, Script(wishes), tell=lambda line: modes.append(tracker.state.safety.mode))
    start = simulation.state.tip
    assert pilot.run() == "over"
    assert {Mode.RUNNING, Mode.HOLDING} <= set(modes)
    counts = tracker.state.safety.counts
    assert counts["emergency stop"] >= 60
    assert "tracking error" not in counts
    sent = tracker.state.safety.pusher
    assert sent is not None
    assert sent.position[1] - start[1] > 0.02
    assert abs(sent.position[0] - start[0]) < 1e-3
    assert replay(log).differing == 0
    assert len(read_episodes(log)) == 2


def test_stop_by_an_operator_is_lifted_by_a_reset_alone() -> None:
    settings = HardwareSettings(start_guard=0.02, state_age=2.0, keypoint_age=2.0)
    driver = SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))
    driver.packets = 300
    tracker, moving = Tracker(settings, bus=LocalBus(driver)), Wish(velocity=(0.0, 0.05))

    def mode_after(turns: int, wish: Wish) -> Mode:
        pilot = Pilot(tracker, Script([(turns, wish)]))
        for _ in range(turns):
            tracker.turn()
            pilot.turn()
        return tracker.state.safety.mode

    assert mode_after(30, moving) is Mode.RUNNING
    tracker.take(Packet(now(), settings.event_channel, make_event(OPERATOR, "stop", "")))
    assert mode_after(60, moving) is Mode.HOLDING
    mode_after(1, Wish(reset=True))
    assert mode_after(20, moving) is Mode.RUNNING


def drive(process: subprocess.Popen[bytes], person: int) -> bytes:
    """Press keys when the arm has started, then Ctrl-C; return what was printed."""
    assert process.stderr is not None
    told = b""
    while b"RUNNING" not in told:
        heard = os.read(process.stderr.fileno(), 4096)
        assert heard, told
        told += heard
    for _ in range(12):
        os.write(person, b"a")
        time.sleep(0.1)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=30)[0]


@pytest.mark.parametrize("simulated", [True, False], ids=["in this process", "over LCM"])
def test_keys_at_a_terminal_become_a_dataset(tmp_path: Path, terminal: tuple[int, int], simulated: bool) -> None:
    minari = pytest.importorskip("minari")
    person, program = terminal
    port = 20_000 + os.getpid() % 20_000
    settings = HardwareSettings(url=f"udpm://239.255.76.68:{port}?ttl=0", state_age=0.3, keypoint_age=0.4)
    log, file = tmp_path / "hand.lcmlog", tmp_path / "hand.json"
    write_settings(settings, file)
    if not simulated:
        reach(settings.url)
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(tmp_path)}
    words = ["--json", "--log", str(log), "--settings", str(file), *(["--simulated"] if simulated else [])]
    with (
        nullcontext() if simulated else Processes(settings, tmp_path, ("simulator",)),
        subprocess.Popen(
            [COMMAND, "hardware", "teleop", *words],
            stdin=program,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as process,
    ):
        report = json.loads(drive(process, person))
    assert process.returncode == 0
    assert report["ended"] == "SIGINT"
    assert replay(log).differing == 0
    convert = [COMMAND, "hardware", "to-dataset", str(log), "hand/test-v0", "--json"]
    subprocess.run(convert, check=True, env=environment, capture_output=True)
    episodes = list(minari.MinariDataset(tmp_path / "hand" / "test-v0" / "data").iterate_episodes())
    actions = np.concatenate([episode.actions for episode in episodes])
    assert 0.03 < actions[:, 1].sum() <= 0.0601
    assert np.linalg.norm(actions, axis=1).max() <= 0.05


def reach(url: str) -> None:
    """Skip where LCM is missing or has no network."""
    pytest.importorskip("lcm")
    try:
        Bus(url).close()
    except HardwareError as error:
        pytest.skip(str(error))
