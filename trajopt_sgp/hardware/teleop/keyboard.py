"""Keys of a terminal. A terminal does not tell when a key is released, so each press moves the target by a step."""

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.teleop.controls import Wish

DIRECTIONS = {"w": (1, 0), "s": (-1, 0), "a": (0, 1), "d": (0, -1)}
"""Keys that move the pusher: away from the base of the arm, towards it, to its left, to its right."""
ARROWS = {"A": "w", "B": "s", "C": "d", "D": "a"}
"""Last letters of the arrow keys' sequences, and the keys that do the same."""
SMALLEST_STEP, LARGEST_STEP = 0.00125, 0.02
"""Between these + and - change the step [m]."""

_KEY = re.compile(r"\x1b[\[O][A-D]|.", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b[\[O]?\Z")


class Keyboard:
    """The terminal as controls; while it is entered, keys come at once and are not shown.

    w a s d and arrows move, + and - double and halve the step, r resets, q ends; space and every other key stop.

    Args:
        terminal: Its file descriptor.
        step: By how much one key moves the target [m].
    """

    def __init__(self, terminal: int | None = None, step: float = 0.005) -> None:
        self.step = step
        self._terminal = sys.stdin.fileno() if terminal is None else terminal
        self._before: list[Any] = []
        self._rest = ""

    def read(self) -> Wish:
        """Return what the keys since the last call want, together."""
        if not select.select([self._terminal], [], [], 0.0)[0]:
            # an escape that nothing follows is a key of its own
            rest, self._rest = self._rest, ""
            return self._wish([rest] if rest else [])
        data = self._read()
        if not data:
            return Wish(end="the terminal was closed")
        text = self._rest + data.decode(errors="replace")
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished.group() if unfinished else ""
        return self._wish(_KEY.findall(text[: len(text) - len(self._rest)]))

    def __enter__(self) -> "Keyboard":
        if not os.isatty(self._terminal):
            raise HardwareError("Keys are read from a terminal, and the standard input is none.")
        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(termios.error):  # it may have been closed
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def _read(self) -> bytes:
        try:
            return os.read(self._terminal, 1024)
        except OSError:
            return b""

    def _wish(self, keys: Iterable[str]) -> Wish:
        x = y = 0.0
        stop = reset = False
        for key in keys:
            if key in ("q", "\x04"):
                return Wish(end="ended by hand")
            name = ARROWS[key[-1]] if len(key) == 3 else key.lower()
            if name in DIRECTIONS:
                x, y = x + self.step * DIRECTIONS[name][0], y + self.step * DIRECTIONS[name][1]
            elif key in "+-":
                self.step = min(max(self.step * (2.0 if key == "+" else 0.5), SMALLEST_STEP), LARGEST_STEP)
            elif name == "r":
                reset = True
            else:
                stop = True
        return Wish(stop=True) if stop else Wish((x, y), reset=reset)
