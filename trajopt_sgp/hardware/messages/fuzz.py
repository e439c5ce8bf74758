"""The receiving path under random and mutated packets, judged by other means than those with which it decides."""

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.messages.decoder import COMMAND, FRAME, FRAME_2022, STATUS, Decoder, codec
from trajopt_sgp.hardware.messages.definition import Definition
from trajopt_sgp.hardware.messages.layout import MAY_BE_NAN

MESSAGES = (COMMAND, STATUS, FRAME, FRAME_2022)
WORDS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\x7f\xf8\0\0", b"\x7f\xf0\0\0", bytes(4))
"""Words that are a negative or enormous count, or the beginning of NaN, infinity or zero."""


@dataclass(frozen=True)
class FuzzReport:
    """What became of the packets of `fuzz`.

    Attributes:
        refused: Number of packets by the cause of their refusal.
        accepted: Packets that were decoded; a mutation may well leave a valid message.
        wrongly_accepted: Those among them that break a promise of `Decoder`; must be 0.
        packets_per_second: Making the packets included.
    """

    packets: int
    refused: dict[str, int]
    accepted: int
    wrongly_accepted: int
    packets_per_second: float


def fuzz(packets: int, rng: random.Random) -> FuzzReport:
    """Decode random and mutated packets of every message; anything but a message or a `MessageError` gets out."""
    decoder = Decoder(MESSAGES)
    originals = [make_message(definition, rng, count).encode() for definition in MESSAGES for count in (0, 1, 3)]
    outcomes: Counter[str] = Counter()
    start = time.perf_counter()
    for _ in range(packets):
        outcomes[_outcome(decoder, mutate(originals, rng))] += 1
    seconds = time.perf_counter() - start
    accepted, wrong = outcomes.pop("accepted", 0), outcomes.pop("wrong", 0)
    return FuzzReport(packets, dict(outcomes), accepted + wrong, wrong, packets / max(seconds, 1e-9))


def make_message(definition: Definition, rng: random.Random, count: int) -> Any:
    """Return a message with random values in all its members, every array of variable length holding `count`."""
    message = codec(definition)()
    for member in definition.members:
        sizes = [count if isinstance(size, str) else size for size in member.dimensions]
        value = count if member.name in definition.counts else _array(definition, member.type, sizes, rng, count)
        setattr(message, member.name, value)
    return message


def mutate(originals: Sequence[bytes], rng: random.Random) -> bytes:
    """Return one of the packets with something wrong: bytes changed, cut off or appended, a word replaced; or noise."""
    packet = bytearray(rng.choice(originals))
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(rng.randint(1, 3)):
            packet[rng.randrange(len(packet))] ^= rng.randint(1, 255)
    elif kind == 1:
        del packet[rng.randrange(len(packet)) :]
    elif kind == 2:
        packet += rng.randbytes(rng.randint(1, 8))
    elif kind == 3:
        place = rng.randrange(8, len(packet) - 3)
        packet[place : place + 4] = rng.choice(WORDS)
    else:
        packet = packet[: rng.choice((0, 8))] + rng.randbytes(rng.randrange(64))
    return bytes(packet)


def _array(definition: Definition, kind: str, sizes: Sequence[int], rng: random.Random, count: int) -> Any:
    if sizes:
        return [_array(definition, kind, sizes[1:], rng, count) for _ in range(sizes[0])]
    if kind in definition.parts:
        return make_message(definition.parts[kind], rng, count)
    if kind == "string":
        return "box Ω"
    # thirty-seconds: exact in single precision
    return rng.randint(-99, 99) / 32 if kind in ("float", "double") else rng.randint(-99, 99)


def _outcome(decoder: Decoder, packet: bytes) -> str:
    try:
        message = decoder.decode(packet)
    except MessageError as error:
        return error.cause
    faithful = message.encode() == packet and _sound(message)
    return "accepted" if faithful else "wrong"


def _sound(message: Any) -> bool:
    return all(_sound_value(name, getattr(message, name)) for name in message.__slots__)


def _sound_value(name: str, value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_sound_value(name, element) for element in value)
    if isinstance(value, float):
        return math.isfinite(value) or (name in MAY_BE_NAN and math.isnan(value))
    if hasattr(value, "__slots__"):
        return _sound(value)
    return not (name.startswith("num_") and value < 0)
