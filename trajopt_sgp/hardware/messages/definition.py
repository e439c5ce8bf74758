"""Message definitions read from .lcm files, and the fingerprints by which packets are told apart."""

import functools
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from trajopt_sgp.errors import OptionError

PRIMITIVES: Mapping[str, str] = {
    "int8_t": "b",
    "int16_t": "h",
    "int32_t": "i",
    "int64_t": "q",
    "byte": "B",
    "boolean": "?",
    "float": "f",
    "double": "d",
    "string": "",
}
"""The primitive types of LCM, each with its letter in the module `struct`; a string has none."""
FILES = ("drake", "optitrack", "optitrack_2022", "trajopt")

_STRUCT = re.compile(r"struct\s+(\w+)\s*\{(.*?)\}", re.DOTALL)
_MEMBER = re.compile(r"(\w+)\s+(\w+)\s*((?:\[\w+\])*)\s*;")
_WORD = 1 << 64


@dataclass(frozen=True)
class Member:
    """One member of a message.

    Attributes:
        type: A primitive type, or the name of another message of the same file.
        dimensions: Length of each dimension of an array: a number, or the member that holds it. Empty for a scalar.
    """

    name: str
    type: str
    dimensions: tuple[int | str, ...] = ()

    @functools.cached_property
    def size(self) -> int:
        """Bytes of one element of a primitive type on the wire."""
        return struct.calcsize(f">{PRIMITIVES[self.type]}")

    @functools.cached_property
    def is_real(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.type in ("float", "double")


@dataclass(frozen=True)
class Definition:
    """A message: its members in their order on the wire, with the definitions of those that are messages themselves."""

    package: str
    name: str
    members: tuple[Member, ...]
    parts: Mapping[str, "Definition"]

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """The eight bytes that begin every packet of this message.

        They hash the names, types and dimensions of all members, but not the names of the message and its package.
        """
        total = _members_hash(self.members)
        for member in self.members:
            if member.type in self.parts:
                total += int.from_bytes(self.parts[member.type].fingerprint, "big")
        total %= _WORD
        return ((total << 1 | total >> 63) % _WORD).to_bytes(8, "big")

    @functools.cached_property
    def counts(self) -> frozenset[str]:
        """The members that hold the length of another one."""
        return frozenset(size for member in self.members for size in member.dimensions if isinstance(size, str))


@functools.cache
def read_definitions(file: str) -> Mapping[str, Definition]:
    """Return the definitions of one of `FILES`, by name.

    Raises:
        OptionError: there is no such file.
    """
    if file not in FILES:
        raise OptionError(f"No message definitions are called {file!r}; choose from {', '.join(FILES)}.")
    text = (resources.files("trajopt_sgp.hardware.messages") / "definitions" / f"{file}.lcm").read_text()
    return parse_definitions(file, text)


def parse_definitions(package: str, text: str) -> Mapping[str, Definition]:
    """Return the definitions in the text of an .lcm file; a message must stand before those that contain it."""
    definitions: dict[str, Definition] = {}
    for name, body in _STRUCT.findall(text):
        members = tuple(_member(*found) for found in _MEMBER.findall(body))
        parts = {member.type: definitions[member.type] for member in members if member.type not in PRIMITIVES}
        definitions[name] = Definition(package, name, members, parts)
    return definitions


def _member(type_name: str, name: str, dimensions: str) -> Member:
    sizes = re.findall(r"\w+", dimensions)
    return Member(name, type_name, tuple(int(size) if size.isdigit() else size for size in sizes))


def _members_hash(members: tuple[Member, ...]) -> int:
    value = 0x12345678
    for member in members:
        value = _update_text(value, member.name)
        if member.type in PRIMITIVES:
            value = _update_text(value, member.type)
        value = _update(value, len(member.dimensions))
        for size in member.dimensions:
            value = _update(value, int(isinstance(size, str)))
            value = _update_text(value, str(size))
    return value


def _update_text(value: int, text: str) -> int:
    for byte in (len(text), *text.encode()):
        value = _update(value, byte)
    return value


def _update(value: int, byte: int) -> int:
    # LCM shifts a signed word to the right, which repeats its sign
    signed = value - _WORD if value >> 63 else value
    return ((signed << 8 ^ signed >> 55) + byte) % _WORD
