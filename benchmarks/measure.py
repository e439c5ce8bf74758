"""How benchmarks measure: repeated runs, median and fastest, and the machine they ran on."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch


@dataclass(frozen=True)
class Measurement:
    """Wall times of one case over `repeats` runs, in seconds."""

    case: str
    median: float
    fastest: float
    repeats: int


def time_calls(case: str, function: Callable[[], object], repeats: int = 10) -> Measurement:
    """Time `function`, after one run that does not count.

    On a shared machine the fastest run is the steadier number and the median the more honest one.
    """
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return Measurement(case, statistics.median(seconds), min(seconds), repeats)


def describe_machine() -> dict[str, str | int | float]:
    """What a reader needs to compare times: processor, cores, load, threads, versions."""
    facts: dict[str, str | int | float] = {
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    return facts | {name: version(name) for name in ("torch", "casadi", "numpy", "trajopt_sgp")}
