"""The simulated driver without a network, in the process that commands it."""

import time

from trajopt_sgp.hardware.bus import Packet
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.processes.driver import SimulatedDriver


class LocalBus:
    """In place of a bus: what is published on the command channel the driver obeys, everything else nobody hears.

    In every `receive` one period passes, in real time.
    """

    def __init__(self, driver: SimulatedDriver) -> None:
        self.driver = driver
        self._deadline = time.monotonic()
        self._tick = 0

    def publish(self, channel: str, data: bytes) -> None:
        """Send one packet."""
        if channel == self.driver.settings.command_channel:
            self.driver.command(data)

    def receive(self, timeout: float) -> list[Packet]:
        """Return the status at the end of the period, and the frame where one is due."""
        settings, driver = self.driver.settings, self.driver
        self._deadline = max(self._deadline + settings.period, time.monotonic() - 4 * settings.period)
        time.sleep(max(self._deadline - time.monotonic(), 0.0))
        driver.step()
        packets = [Packet(now(), settings.status_channel, driver.status(now()))]
        if self._tick % max(round(settings.frame_period / settings.period), 1) == 0:
            packets.append(Packet(now(), settings.frame_channel, driver.frame(now())))
        self._tick += 1
        return packets
