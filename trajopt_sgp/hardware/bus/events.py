"""What processes tell of themselves."""

from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.messages import EVENT, codec


def make_event(process: str, event: str, detail: str) -> bytes:
    """Return the packet that tells something of a process."""
    message = codec(EVENT)()
    message.utime, message.process, message.event, message.detail = now(), process, event, detail
    return bytes(message.encode())
