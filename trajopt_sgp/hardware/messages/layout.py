"""Whether bytes are laid out as a definition says: lengths, counts, texts and finite numbers."""

import math
import struct
from collections.abc import Mapping

from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.messages.definition import PRIMITIVES, Definition, Member

MAY_BE_NAN = frozenset({"joint_position_ipo"})
"""The driver has no interpolated position outside its command mode and then sends NaN; infinity is wrong even there."""


def check_layout(definition: Definition, packet: bytes, required: Mapping[str, int]) -> None:
    """Refuse a packet that is not exactly one message of this definition, fingerprint included.

    Args:
        required: Values that counts must have, such as `{"num_joints": 7}`, wherever they occur.

    Raises:
        MessageError: with the cause `length`, `count`, `text` or `number`.
    """
    end = _check_message(definition, packet, len(definition.fingerprint), required)
    if end != len(packet):
        raise MessageError("length", f"{definition.name} ends at byte {end}, but its packet has {len(packet)}.")


def _check_message(definition: Definition, packet: bytes, offset: int, required: Mapping[str, int]) -> int:
    counts: dict[str, int] = {}
    for member in definition.members:
        if member.name in definition.counts:
            counts[member.name] = _read_count(member, packet, offset, required)
        number = 1
        for size in member.dimensions:
            number *= counts[size] if isinstance(size, str) else size
        if member.type in definition.parts:
            offset = _check_parts(definition.parts[member.type], number, packet, offset, required)
        elif member.type == "string":
            offset = _check_text(member, packet, offset)
        else:
            offset = _check_numbers(member, number, packet, offset)
    return offset


def _read_count(member: Member, packet: bytes, offset: int, required: Mapping[str, int]) -> int:
    end = offset + member.size
    if end > len(packet):
        raise _too_short(member, packet)
    count = int.from_bytes(packet[offset:end], "big", signed=True)
    # every element takes at least a byte, so that no count can make this loop for long
    if not 0 <= count <= len(packet) - end:
        raise MessageError("count", f"{member.name} is {count} in a packet of {len(packet)} bytes.")
    if count != required.get(member.name, count):
        raise MessageError("count", f"{member.name} is {count} where {required[member.name]} is required.")
    return count


def _check_parts(part: Definition, number: int, packet: bytes, offset: int, required: Mapping[str, int]) -> int:
    for _ in range(number):
        offset = _check_message(part, packet, offset, required)
    return offset


def _check_text(member: Member, packet: bytes, offset: int) -> int:
    start = offset + 4
    length = int.from_bytes(packet[offset:start], "big")
    if start > len(packet) or length > len(packet) - start:
        raise _too_short(member, packet)
    text = packet[start : start + length]
    if not text or text.find(b"\0") != length - 1:
        raise MessageError("text", f"{member.name} is not ended by its one zero byte.")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise MessageError("text", f"{member.name} is not UTF-8.") from error
    return start + length


def _check_numbers(member: Member, number: int, packet: bytes, offset: int) -> int:
    end = offset + number * member.size
    if end > len(packet):
        raise _too_short(member, packet)
    if member.is_real:
        numbers = struct.unpack_from(f">{number}{PRIMITIVES[member.type]}", packet, offset)
        if not all(map(math.isfinite, numbers)) and not (
            member.name in MAY_BE_NAN and not any(map(math.isinf, numbers))
        ):
            raise MessageError("number", f"{member.name} holds a number that is not finite.")
    return end


def _too_short(member: Member, packet: bytes) -> MessageError:
    return MessageError("length", f"The packet of {len(packet)} bytes ends before {member.name} does.")
