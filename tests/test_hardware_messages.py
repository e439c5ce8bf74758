"""Messages on the wire: fingerprints without LCM, round trips, and what the receiving path refuses."""

import math
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trajopt_sgp.errors import MessageError, OptionError
from trajopt_sgp.hardware.messages import (
    COMMAND,
    COMMAND_DECODER,
    FRAME,
    FRAME_2022,
    FRAME_DECODER,
    STATUS,
    STATUS_DECODER,
    Decoder,
    Definition,
    codec,
    read_definitions,
)
from trajopt_sgp.hardware.messages.fuzz import MESSAGES, fuzz, make_message

ROOT = Path(__file__).parents[1]
FINGERPRINTS = {
    ("drake", "lcmt_iiwa_command"): "ddc7c7738c815334",
    ("drake", "lcmt_iiwa_status"): "f16fb804284abca3",
    ("optitrack", "optitrack_frame_t"): "026265ffda8529c1",
    ("optitrack", "optitrack_marker_set_t"): "a47d327a8c959bcf",
    ("optitrack", "optitrack_rigid_body_t"): "4f0afbc0d3179748",
    ("optitrack_2022", "optitrack_frame_t"): "4a5774fdf4df1851",
}


def plain(value: Any) -> Any:
    """A message as nested tuples, to be compared."""
    if hasattr(value, "__slots__"):
        return tuple(plain(getattr(value, name)) for name in value.__slots__)
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def status(**members: Any) -> Any:
    message = make_message(STATUS, random.Random(1), 7)
    for name, value in members.items():
        setattr(message, name, value)
    return message


def cause_of(decoder: Decoder, packet: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        decoder.decode(packet)
    return caught.value.cause


@pytest.mark.parametrize(("file", "name"), FINGERPRINTS)
def test_fingerprint_is_that_of_the_public_definition(file: str, name: str) -> None:
    assert read_definitions(file)[name].fingerprint.hex() == FINGERPRINTS[file, name]


def test_fingerprints_need_neither_lcm_nor_codecs() -> None:
    code = """
import sys
sys.modules["lcm"] = None
from trajopt_sgp.hardware.messages.definition import FILES, read_definitions
for file in FILES:
    for definition in read_definitions(file).values():
        definition.fingerprint
assert not any("generated" in name or name == "torch" for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("file", ["drake", "optitrack", "optitrack_2022", "trajopt"])
def test_generated_codecs_have_the_computed_fingerprints(file: str) -> None:
    for definition in read_definitions(file).values():
        assert codec(definition)._get_packed_fingerprint() == definition.fingerprint


def test_codecs_are_what_lcm_gen_writes(tmp_path: Path) -> None:
    pytest.importorskip("lcm")
    subprocess.run([ROOT / "tools" / "generate_messages.sh", tmp_path], check=True)
    folder = Path("trajopt_sgp/hardware/messages/generated")
    written = {file.relative_to(tmp_path): file.read_text() for file in (tmp_path / folder).rglob("*.py")}
    assert written == {file.relative_to(ROOT): file.read_text() for file in (ROOT / folder).rglob("*.py")}


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("definition", MESSAGES, ids=lambda d: f"{d.package}.{d.name}")
def test_message_survives_the_wire(definition: Definition, count: int) -> None:
    message = make_message(definition, random.Random(count), count)
    packet = message.encode()
    received = Decoder(MESSAGES).decode(packet)
    assert type(received) is codec(definition)
    assert plain(received) == plain(message)
    assert received.encode() == packet


def test_packets_have_the_bytes_of_the_layout() -> None:
    """The status of seven joints written by hand: fingerprint, time, count, then 49 doubles, all big-endian."""
    message = status(utime=-1)
    names = [member.name for member in STATUS.members[2:]]
    numbers = [number for name in names for number in getattr(message, name)]
    expected = bytes.fromhex("f16fb804284abca3") + struct.pack(">qi49d", -1, 7, *numbers)
    assert message.encode() == expected
    assert len(expected) == 412


def test_receiver_takes_both_versions_of_a_frame() -> None:
    for definition in (FRAME, FRAME_2022):
        frame = FRAME_DECODER.decode(make_message(definition, random.Random(0), 2).encode())
        assert frame.num_marker_sets == 2
        assert hasattr(frame, "forceplates") == (definition is FRAME)


def test_missing_interpolated_position_and_time_are_accepted() -> None:
    received = STATUS_DECODER.decode(status(utime=-1, joint_position_ipo=[math.nan] * 7).encode())
    assert received.utime == -1
    assert all(map(math.isnan, received.joint_position_ipo))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [member.name for member in STATUS.members[2:]])
def test_number_that_is_not_finite_is_refused(name: str, value: float) -> None:
    packet = status(**{name: [0.0] * 6 + [value]}).encode()
    if name == "joint_position_ipo" and math.isnan(value):
        STATUS_DECODER.decode(packet)
    else:
        assert cause_of(STATUS_DECODER, packet) == "number"


def test_every_other_length_is_refused() -> None:
    packet = status().encode()
    assert all(cause_of(STATUS_DECODER, packet[:end]) for end in range(len(packet)))
    assert cause_of(STATUS_DECODER, packet + b"\0") == "length"
    codec(STATUS).decode(packet + b"\0")  # which the generated decoder lets pass


@pytest.mark.parametrize("count", [-1, 6, 8, 2**31 - 1, -(2**31)])
def test_wrong_number_of_joints_is_refused(count: int) -> None:
    packet = bytearray(status().encode())
    packet[16:20] = struct.pack(">i", count)
    assert cause_of(STATUS_DECODER, bytes(packet)) == "count"
    assert cause_of(Decoder((STATUS,)), bytes(packet)) in ("count", "length")


def test_shorter_message_of_valid_layout_is_refused_where_seven_joints_are_required() -> None:
    assert cause_of(COMMAND_DECODER, make_message(COMMAND, random.Random(0), 6).encode()) == "count"


@pytest.mark.parametrize(
    "name", [b"\0\0\0\0", b"\0\0\0\x03ab\1", b"\0\0\0\x03a\0\0", b"\0\0\0\x03\xff\xff\0", b"\xff\xff\xff\xff"]
)
def test_damaged_text_is_refused(name: bytes) -> None:
    marker_set = read_definitions("optitrack")["optitrack_marker_set_t"]
    assert cause_of(Decoder((marker_set,)), marker_set.fingerprint + name + bytes(4)) in ("text", "length")


def test_unknown_fingerprint_is_named_beside_those_expected() -> None:
    with pytest.raises(MessageError, match="Unknown fingerprint ddc7c7738c815334; expected f16fb804284abca3"):
        STATUS_DECODER.decode(make_message(COMMAND, random.Random(0), 7).encode())


def test_unknown_file_is_refused() -> None:
    with pytest.raises(OptionError, match="choose from drake, optitrack, optitrack_2022"):
        read_definitions("kuka")


def test_no_mutated_packet_is_wrongly_accepted() -> None:
    report = fuzz(4_000, random.Random(7))
    assert report.wrongly_accepted == 0
    assert report.accepted > 400
    assert set(report.refused) == {"fingerprint", "length", "count", "text", "number"}
    assert sum(report.refused.values()) + report.accepted == report.packets
