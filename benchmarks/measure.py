"""How benchmarks measure: repeated runs, median and fastest, and the machine they ran on."""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("trajopt_sgp", "torch", "casadi", "numpy", "scipy", "numba", "l4casadi", "do-mpc", "onnx", "pytorch-mppi")

_BURST = 0.004


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


def interleave(functions: Mapping[str, Callable[[], object]], seconds: float = 1.0, most: int = 60) -> dict[str, float]:
    """Return the median time [s] of each function, all run in turn so that noise hits all of them alike.

    What takes less than `_BURST` is called again and again for that long before it is timed for as long, as solvers do:
    what it finds in the caches of the processor is what it left there itself. The first round does not count, but tells
    how many rounds, from 3 to `most`, fit into about `seconds`.
    """
    calls = {name: max(1, math.ceil(_BURST / _mean_time(function, 2))) for name, function in functions.items()}
    begin = time.perf_counter()
    for name, function in functions.items():
        _warmed_time(function, calls[name])
    rounds = int(seconds / max(time.perf_counter() - begin, 1e-9))
    found: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(min(max(rounds, 3), most)):
        for name, function in functions.items():
            found[name].append(_warmed_time(function, calls[name]))
    return {name: statistics.median(times) for name, times in found.items()}


def _warmed_time(function: Callable[[], object], calls: int) -> float:
    if calls > 1:
        _mean_time(function, calls)
    return _mean_time(function, calls)


def _mean_time(function: Callable[[], object], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begin) / calls


def describe_machine() -> dict[str, str | int | float]:
    """What a reader needs to compare times: processor, cores, load, threads, versions."""
    facts: dict[str, str | int | float] = {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    return facts | {name: _version(name) for name in PACKAGES}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
