"""Packets over LCM. Nothing is decoded here, no queue passes what is old for new, and no peer can drown the others."""

import select
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from trajopt_sgp.errors import HardwareError

UNSENT, FLOODED = "BUS_UNSENT", "BUS_FLOODED"
"""Channels on which a bus tells its own process that the network did not take packets; that a channel was full."""
CAPACITY = 1000
"""How many packets of a channel may wait, by default: five seconds of statuses."""
_FRESH = 0.02
"""How long a newer packet of a full channel is waited for [s]."""


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
        capacity: How many packets of each may wait.

    Attributes:
        unsent: How many packets the network did not take, by channel.

    Raises:
        HardwareError: the package `lcm` is missing, or the network has no multicast.
    """

    def __init__(self, url: str, channels: Iterable[str] = (), capacity: int = CAPACITY) -> None:
        self._lcm = _connect(url)
        self._capacity, self._called = capacity, now()
        self.unsent: Counter[str] = Counter()
        self._received: list[Packet] = []
        self._told = 0
        self._subscriptions = [self._lcm.subscribe(channel, self._take) for channel in channels]
        for subscription in self._subscriptions:
            subscription.set_queue_capacity(capacity)

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

        No more are taken than may have waited at the call, however fast others come. Of a channel that was full, the
        newest one is returned alone. What there is to tell comes first, on the channels `UNSENT` and `FLOODED`.
        """
        packets = self._handle(timeout)
        counts = Counter(packet.channel for packet in packets)
        full = {channel for channel, count in counts.items() if count >= self._capacity}
        if full:
            packets = self._thin_out(packets, full)
        self._called = now()
        return [*self._told_by_us(full), *packets]

    def _handle(self, timeout: float) -> list[Packet]:
        for _ in range(self._capacity * max(len(self._subscriptions), 1)):
            # LCM itself takes a signal for an error while it waits; select goes on
            if not select.select([self._lcm], [], [], max(timeout, 0.0))[0]:
                break
            self._lcm.handle()
            timeout = 0.0
        received, self._received = self._received, []
        return received

    def _thin_out(self, packets: list[Packet], full: set[str]) -> list[Packet]:
        """Keep the newest packet of full channels, and wait for newer ones."""
        # LCM drops the newest packets of a full queue: what is left came at some time after the last call
        packets = [packet._replace(time=self._called) if packet.channel in full else packet for packet in packets]
        end, awaited = time.monotonic() + _FRESH, full
        while awaited and (left := end - time.monotonic()) > 0:
            fresh = self._handle(left)
            awaited = awaited - {packet.channel for packet in fresh}
            packets += fresh
        newest = {packet.channel: packet for packet in packets}
        return [packet for packet in packets if packet.channel not in full or packet is newest[packet.channel]]

    def _told_by_us(self, full: set[str]) -> list[Packet]:
        failed, self._told = self.unsent.total() - self._told, self.unsent.total()
        told = [Packet(now(), UNSENT, str(failed).encode())] if failed else []
        return told + [Packet(now(), FLOODED, channel.encode()) for channel in sorted(full)]

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
