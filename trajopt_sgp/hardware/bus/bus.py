"""Packets over LCM. Nothing is decoded here, and nothing waits in a queue of a length that drops the newest."""

import select
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from trajopt_sgp.errors import HardwareError


class Packet(NamedTuple):
    """One packet, and when it was received on this machine's monotonic clock [µs]."""

    time: int
    channel: str
    data: bytes


def now() -> int:
    """Return this machine's monotonic clock, which all its processes share [µs]."""
    return time.monotonic_ns() // 1000


@runtime_checkable
class PacketBus(Protocol):
    """What carries packets: LCM, or the simulated driver in the same process."""

    def publish(self, channel: str, data: bytes) -> None:
        """Send one packet."""
        ...

    def receive(self, timeout: float) -> list[Packet]:
        """Return all packets that wait, in their order; wait up to `timeout` [s] for the first one."""
        ...


class Bus:
    """A connection to LCM.

    Args:
        url: Of LCM, such as `udpm://239.255.76.67:7667?ttl=0`; with ttl 0 no packet leaves the machine.
        channels: Those that are received.

    Raises:
        HardwareError: the package `lcm` is missing, or the network has no multicast.
    """

    def __init__(self, url: str, channels: Iterable[str] = ()) -> None:
        self._lcm = _connect(url)
        self._received: list[Packet] = []
        for channel in channels:
            # LCM drops the newest packet when a queue is full; 0 is a queue without end, which `receive` empties
            self._lcm.subscribe(channel, self._take).set_queue_capacity(0)

    def publish(self, channel: str, data: bytes) -> None:
        """Send one packet."""
        self._lcm.publish(channel, data)

    def receive(self, timeout: float) -> list[Packet]:
        """Return all packets that wait, in their order; wait up to `timeout` [s] for the first one."""
        # LCM itself takes a signal for an error while it waits; select goes on
        while select.select([self._lcm], [], [], max(timeout, 0.0))[0]:
            self._lcm.handle()
            timeout = 0.0
        received, self._received = self._received, []
        return received

    def _take(self, channel: str, data: bytes) -> None:
        self._received.append(Packet(now(), channel, data))


def _connect(url: str) -> Any:
    try:
        import lcm
    except ImportError as error:
        raise HardwareError("The bus needs LCM: pip install 'trajopt_sgp[hardware]'.") from error
    try:
        return lcm.LCM(url)
    except RuntimeError as error:
        raise HardwareError(
            f"LCM cannot use {url!r}: a network for multicast is needed, such as "
            "`ip link set lo multicast on; ip route add 224.0.0.0/4 dev lo`."
        ) from error
