"""Time to import the package in a new interpreter, beside the libraries that it stands on."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.measure import Measurement, time_calls

REFERENCES = ("sys", "torch", "casadi", "torch, casadi")


def measure() -> Iterator[Measurement]:
    """Interpreter start included; the case `sys` is that start alone."""
    for modules in (*REFERENCES, "trajopt_sgp"):
        command = [sys.executable, "-c", f"import {modules}"]
        yield time_calls(f"import {modules}", partial(subprocess.run, command, check=True), repeats=5)
