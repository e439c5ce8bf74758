"""A joystick of the Linux kernel, read without any library: how far the stick is moved is how fast the pusher goes."""

import os
import struct
from pathlib import Path
from types import TracebackType

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.teleop.controls import Wish

EVENT = struct.Struct("=IhBB")
"""Time [ms], value, kind and number of one event, as the kernel's joystick interface has them."""
BUTTON, AXIS, AT_START = 1, 2, 0x80
"""Kinds of events; the last is added to those that tell how things were when the joystick was opened."""
STOP_BUTTON, END_BUTTON = 0, 1
_FULL = 32767.0
_DEAD = 0.1


class Joystick:
    """The first two axes move the pusher, the first button stops, the second ends.

    After a stop the stick must have been in the middle before anything moves again.

    Args:
        path: Of the device.
        speed: Of the pusher at full deflection of one axis [m/s].
    """

    def __init__(self, path: Path = Path("/dev/input/js0"), speed: float = 0.1) -> None:
        self.path, self.speed = path, speed
        self._device = -1
        self._axes = {0: 0.0, 1: 0.0}
        self._stopped = True

    def read(self) -> Wish:
        """Return what stick and buttons want now."""
        try:
            data = os.read(self._device, 64 * EVENT.size)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        if data == b"":
            return Wish(end="the joystick is gone")
        pressed = self._take(data or b"")
        if END_BUTTON in pressed:
            return Wish(end="ended by hand")
        if STOP_BUTTON in pressed:
            self._stopped = True
            return Wish(stop=True)
        self._stopped &= any(self._axes.values())
        # axes grow to the right and towards the user
        return Wish() if self._stopped else Wish(velocity=(-self.speed * self._axes[1], -self.speed * self._axes[0]))

    def __enter__(self) -> "Joystick":
        try:
            self._device = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise HardwareError(f"There is no joystick at {self.path}: {error.strerror}. Keys need none.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._device)

    def _take(self, data: bytes) -> set[int]:
        """Remember where the axes are; return the buttons that were pressed."""
        pressed = set()
        for _, value, kind, number in EVENT.iter_unpack(data[: len(data) // EVENT.size * EVENT.size]):
            if kind & ~AT_START == AXIS and number in self._axes:
                place = max(value / _FULL, -1.0)
                self._axes[number] = 0.0 if abs(place) < _DEAD else place
            elif kind == BUTTON and value:
                pressed.add(number)
        return pressed
