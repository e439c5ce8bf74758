"""A process that ends when whoever started it is gone, by whatever cause: its standard input ends then."""

import os
import signal
import threading

UNTIL_INPUT_ENDS = "--until-input-ends"
"""Argument of a process that shall do so."""


def end_with_input(descriptor: int = 0) -> None:
    """From now on, ask this process to end, by SIGTERM, when an input that nobody writes to comes to its end."""
    threading.Thread(target=_wait, args=(descriptor,), daemon=True).start()


def _wait(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
