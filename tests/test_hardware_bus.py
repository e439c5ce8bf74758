"""Event logs, the mailbox, settings: what needs no network."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trajopt_sgp.errors import FileError, HardwareError, OptionError
from trajopt_sgp.hardware.bus import LogWriter, Mailbox, Packet, make_way, read_log
from trajopt_sgp.hardware.messages import PLAN_DECODER
from trajopt_sgp.hardware.settings import HardwareSettings, read_settings, settings_from, write_settings
from trajopt_sgp.hardware.tracker.plan import make_plan

PACKETS = [Packet(1, "A", b"xyz"), Packet(-5, "channel", b""), Packet(2**60, "A", bytes(range(256)))]


def write(path: Path) -> None:
    """Write all packets."""
    with LogWriter(path) as log:
        for packet in PACKETS:
            log.write(packet)


def test_log_is_read_as_it_was_written_and_a_cut_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log"
    write(path)
    assert list(read_log(path)) == PACKETS
    path.write_bytes(path.read_bytes()[:-1])
    assert list(read_log(path)) == PACKETS[:2]


def test_log_is_one_for_the_tools_of_lcm(tmp_path: Path) -> None:
    lcm = pytest.importorskip("lcm")
    write(tmp_path / "ours")
    events = list(lcm.EventLog(str(tmp_path / "ours"), "r"))
    assert [(event.timestamp, event.channel, event.data) for event in events] == PACKETS
    theirs = lcm.EventLog(str(tmp_path / "theirs"), "w")
    for packet in PACKETS:
        theirs.write_event(*packet)
    theirs.close()
    assert list(read_log(tmp_path / "theirs")) == PACKETS


def test_file_that_is_no_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("some words that are no log at all")
    with pytest.raises(HardwareError, match="not an LCM event log"):
        list(read_log(tmp_path / "text"))


def test_log_is_never_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    write(path)
    with pytest.raises(HardwareError, match="exists already"):
        LogWriter(path)
    assert list(read_log(path)) == PACKETS


def test_older_logs_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "run.lcmlog"
    make_way(path)
    for name in ("run-1.lcmlog", "run-2.lcmlog"):
        write(path)
        make_way(path)
        assert list(read_log(tmp_path / name)) == PACKETS
    assert not path.exists()


def test_damaged_length_is_no_cut_end(tmp_path: Path) -> None:
    write(tmp_path / "log")
    data = bytearray((tmp_path / "log").read_bytes())
    data[24] = 0x7F  # of the length of the first packet
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(HardwareError, match="damaged before byte 28"):
        list(read_log(tmp_path / "damaged"))


def test_full_disk_is_an_error() -> None:
    log = LogWriter(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        for _ in range(10_000):
            log.write(PACKETS[2])
    with pytest.raises(OSError, match="No space left"):
        log.close()


def test_mailbox_keeps_the_newest_and_counts_what_it_refuses() -> None:
    plans = [make_plan(np.zeros((2, 3)), start=0, step=0.5, made=time, state_time=0) for time in (1, 2)]
    mailbox = Mailbox({"PLAN": PLAN_DECODER})
    assert mailbox.newest("PLAN") is None
    letters = mailbox.put([Packet(10, "PLAN", plans[0]), Packet(11, "PLAN", plans[1]), Packet(12, "OTHER", b"")])
    assert [(letter.time, letter.channel, letter.message.utime) for letter in letters] == [
        (10, "PLAN", 1),
        (11, "PLAN", 2),
    ]
    assert mailbox.put([Packet(13, "PLAN", plans[0] + b"\0"), Packet(14, "PLAN", b"nonsense")]) == []
    newest = mailbox.newest("PLAN")
    assert newest is not None
    assert (newest.time, newest.message.utime) == (11, 2)
    mailbox.clear()
    assert mailbox.newest("PLAN") is None
    assert mailbox.refused == {("PLAN", "length"): 1, ("PLAN", "fingerprint"): 1}


def test_settings_survive_their_file(tmp_path: Path) -> None:
    settings = HardwareSettings(speed=0.1, workspace=((0.4, 0.8), (-0.2, 0.2)), priority=3)
    write_settings(settings, tmp_path / "settings.json")
    assert read_settings(tmp_path / "settings.json") == settings
    assert read_settings(None) == HardwareSettings()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"sped": 1}, "Unknown settings sped"),
        ({"speed": "fast"}, "speed must be a float"),
        ({"period": 0}, "positive"),
        ({"box_keypoints": [[0.1, 0.2]] * 3}, "at one point"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, values: dict[str, object], fault: str) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(values))
    with pytest.raises(OptionError, match=fault):
        read_settings(tmp_path / "settings.json")


def test_limits_are_those_of_the_settings() -> None:
    settings = HardwareSettings(plan_age=0.7, period=0.004, state_age=0.2)
    limits = settings.limits
    assert (limits.plan_age, limits.period, limits.state_age) == (0.7, 0.004, 0.2)


@pytest.mark.parametrize(
    "values",
    [
        *({name: math.nan} for name in ("frozen_motion", "start_guard", "heartbeat_age", "clock_jump", "marker_jump")),
        {"marker_residual": -1.0},
        {"joint_fraction": 4.0},
        {"torque_fraction": 3.0},
        {"robot_from_mocap": [[math.nan] * 4] * 4},
        {"robot_from_mocap": np.diag([2.0, 2.0, 2.0, 1.0]).tolist()},
        {"robot_from_mocap": np.diag([1.0, 1.0, -1.0, 1.0]).tolist()},
    ],
)
def test_settings_that_would_switch_a_protection_off_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        settings_from(values)


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.json cannot be read: No such file"):
        read_settings(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"url": "\xff"}')
    with pytest.raises(FileError, match=r"latin\.json cannot be read"):
        read_settings(tmp_path / "latin.json")
