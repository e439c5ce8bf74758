"""The simulator as a process: the arm in real time, on the channels of the driver and of motion capture."""

import time

import numpy as np

from trajopt_sgp.errors import HardwareError, MessageError
from trajopt_sgp.hardware.arm import VERTICAL_POSE, ArmKinematics, ArmSimulation, BoxParameters
from trajopt_sgp.hardware.bus import Bus
from trajopt_sgp.hardware.bus.events import make_event
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.signals import EndSignals

_NEWTON_STEPS = 200


class Simulator:
    """Publishes statuses and frames and obeys commands, as the driver does."""

    def __init__(self, settings: HardwareSettings, seed: int = 0) -> None:
        self.settings = settings
        self.driver = SimulatedDriver(settings, place_arm(settings), np.random.default_rng(seed))
        self._bus = Bus(settings.url, (settings.command_channel,))
        self._ticks_per_frame = max(round(settings.frame_period / settings.period), 1)

    def run(self) -> str:
        """Simulate until a signal asks to end, or a command at which the driver exits; return the cause of the end."""
        self._bus.publish(self.settings.event_channel, make_event("simulator", "start", ""))
        with EndSignals() as signals:
            cause = self._simulate(signals)
        self._bus.publish(self.settings.event_channel, make_event("simulator", "end", cause))
        self._bus.close()
        return cause

    def _simulate(self, signals: EndSignals) -> str:
        deadline, tick = time.monotonic(), 0
        while not signals.received:
            try:
                self._obey()
                self._advance(tick)
            except HardwareError as error:
                return str(error)
            tick += 1
            # after a pause time goes on from now: it is not made up for
            deadline = max(deadline + self.settings.period, time.monotonic() - 4 * self.settings.period)
            time.sleep(max(deadline - time.monotonic(), 0.0))
        return signals.received

    def _obey(self) -> None:
        # the driver keeps only the newest command
        channel = self.settings.command_channel
        commands = [packet.data for packet in self._bus.receive(0.0) if packet.channel == channel]
        if not commands:
            return
        try:
            self.driver.command(commands[-1])
        except MessageError as error:
            refused = make_event("simulator", "refused command", error.cause)
            self._bus.publish(self.settings.event_channel, refused)

    def _advance(self, tick: int) -> None:
        self.driver.step()
        utime = time.time_ns() // 1000
        self._bus.publish(self.settings.status_channel, self.driver.status(utime))
        if tick % self._ticks_per_frame == 0:
            self._bus.publish(self.settings.frame_channel, self.driver.frame(utime))


def place_arm(settings: HardwareSettings) -> ArmSimulation:
    """Return arm and box where the settings want them at the start, with the frictions and the mass that they want."""
    simulation = ArmSimulation(
        BoxParameters(
            mass=settings.simulated_mass,
            table_friction=settings.simulated_table_friction,
            pusher_friction=settings.simulated_pusher_friction,
        )
    )
    joints = VERTICAL_POSE
    if settings.simulated_tip:
        joints = ArmKinematics(iterations=_NEWTON_STEPS).solve_joints(np.array(settings.simulated_tip), joints)
    simulation.reset(joints, settings.simulated_box)
    return simulation
