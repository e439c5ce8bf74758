"""The receiving path: from the bytes of a packet to a message that can be used, or a reason why not."""

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trajopt_sgp.errors import MessageError
from trajopt_sgp.hardware.messages.definition import Definition, read_definitions
from trajopt_sgp.hardware.messages.layout import check_layout

COMMAND = read_definitions("drake")["lcmt_iiwa_command"]
STATUS = read_definitions("drake")["lcmt_iiwa_status"]
FRAME = read_definitions("optitrack")["optitrack_frame_t"]
FRAME_2022 = read_definitions("optitrack_2022")["optitrack_frame_t"]
PLAN = read_definitions("trajopt")["plan_t"]
SAFETY = read_definitions("trajopt")["safety_t"]
TIMING = read_definitions("trajopt")["timing_t"]
EVENT = read_definitions("trajopt")["event_t"]


def codec(definition: Definition) -> Any:
    """Return the class generated for a message: `codec(COMMAND)()` makes one, its `encode()` the packet."""
    package = importlib.import_module(f"trajopt_sgp.hardware.messages.generated.{definition.package}")
    return getattr(package, definition.name)


@dataclass(frozen=True)
class Decoder:
    """Decodes packets of some messages, chosen by fingerprint, and refuses everything that is not exactly one of them.

    Generated decoders accept trailing bytes, negative counts and NaN; a packet comes to them only after it is checked.

    Attributes:
        accepted: The messages that may come.
        required: Values that counts must have, such as `{"num_joints": 7}`.
    """

    accepted: tuple[Definition, ...]
    required: Mapping[str, int] = field(default_factory=dict)

    @functools.cached_property
    def _known(self) -> dict[bytes, tuple[Definition, Any]]:
        return {definition.fingerprint: (definition, codec(definition)) for definition in self.accepted}

    def decode(self, packet: bytes) -> Any:
        """Return the message in a packet, an object of its generated class.

        Raises:
            MessageError: with the cause `fingerprint`, `length`, `count`, `text` or `number`.
        """
        found = self._known.get(packet[:8])
        if found is None:
            wanted = ", ".join(f"{definition.fingerprint.hex()} ({definition.name})" for definition in self.accepted)
            raise MessageError("fingerprint", f"Unknown fingerprint {packet[:8].hex()}; expected {wanted}.")
        definition, generated = found
        check_layout(definition, packet, self.required)
        return generated.decode(packet)


IIWA_JOINTS = 7
STATUS_DECODER = Decoder((STATUS,), {"num_joints": IIWA_JOINTS})
"""Status messages of an arm of seven joints."""
COMMAND_DECODER = Decoder((COMMAND,), {"num_joints": IIWA_JOINTS})
"""Commands to an arm of seven joints."""
FRAME_DECODER = Decoder((FRAME, FRAME_2022))
"""Motion-capture frames of either version."""
PLAN_DECODER = Decoder((PLAN,))
"""Plans of the pusher."""
SAFETY_DECODER = Decoder((SAFETY,))
"""Decisions of the tracker."""
TIMING_DECODER = Decoder((TIMING,))
"""Times of the tracker's ticks."""
EVENT_DECODER = Decoder((EVENT,))
"""What happened in the processes."""
