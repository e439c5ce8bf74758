"""Packets over LCM. Nothing is decoded here, and nothing waits in a queue of a length that drops the newest."""

import select
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from trajopt_sgp.errors import HardwareError

UNSENT = "BUS_UNSENT"
"""Channel on which a bus tells its own process that the network did not take a packet."""


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
    """A connection to LCM, and a context manager that ends it.

    Args:
        url: Of LCM, such as `udpm://239.255.76.67:7667?ttl=0`; with ttl 0 no packet leaves the machine.
        channels: Those that are received.

    Attributes:
        unsent: How many packets the network did not take, by channel.

    Raises:
        HardwareError: the package `lcm` is missing, or the network has no multicast.
    """

    def __init__(self, url: str, channels: Iterable[str] = ()) -> None:
        self._lcm = _connect(url)
        self.unsent: Counter[str] = Counter()
        self._received: list[Packet] = []
        self._told = 0
        self._subscriptions = [self._lcm.subscribe(channel, self._take) for channel in channels]
        for subscription in self._subscriptions:
            # LCM drops the newest packet when a queue is full; 0 is a queue without end, which `receive` empties
            subscription.set_queue_capacity(0)

    def close(self) -> None:
        """End the connection with its threads and its queues; nothing happens where it has ended."""
        # LCM holds the subscriptions, and they hold this object: no collector finds such a ring
        for subscription in self._subscriptions:
            self._lcm.unsubscribe(subscription)
        self._subscriptions, self._received = [], []
        self._lcm = _Closed()

    def __enter__(self) -> "Bus":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def publish(self, channel: str, data: bytes) -> None:
        """Send one packet; one that the network does not take is lost, as any other may be, but counted and told."""
        try:
            self._lcm.publish(channel, data)
        except OSError:
            self.unsent[channel] += 1

    def receive(self, timeout: float) -> list[Packet]:
        """Return all packets that wait, in their order; wait up to `timeout` [s] for the first one.

        Before them stands one on the channel `UNSENT` if something could not be sent since the last call.
        """
        # LCM itself takes a signal for an error while it waits; select goes on
        while select.select([self._lcm], [], [], max(timeout, 0.0))[0]:
            self._lcm.handle()
            timeout = 0.0
        received, self._received = self._received, []
        return [*self._failures(), *received]

    def _failures(self) -> list[Packet]:
        failed, self._told = self.unsent.total() - self._told, self.unsent.total()
        return [Packet(now(), UNSENT, str(failed).encode())] if failed else []

    def _take(self, channel: str, data: bytes) -> None:
        self._received.append(Packet(now(), channel, data))


class _Closed:
    """What is left of a connection."""

    def __getattr__(self, name: str) -> Any:
        raise HardwareError("The bus is closed.")


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
