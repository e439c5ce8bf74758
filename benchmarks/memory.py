"""Peak memory of one evaluation, in a process of its own: `python -m benchmarks.memory KIND HORIZON` prints MB."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench_shooting import Shooting
from benchmarks.networks import StepNetwork
from benchmarks.transcriptions import OwnDerivatives, Points

KINDS: dict[str, Callable[[int], Callable[[], object]]] = {
    "gradient": lambda horizon: Shooting(StepNetwork(128, 2), 1, horizon).ours().run,
    "derivatives": lambda horizon: OwnDerivatives.of(StepNetwork(128, 2), Points(horizon)).run,
}
"""What is evaluated, made for a horizon: n = 4, m = 1, 2×128 tanh."""


def peak_megabytes(kind: str, horizon: int) -> float:
    """Return by how much building and evaluating lets the resident memory of a new process grow [MB]."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", kind, str(horizon)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def _measure(kind: str, horizon: int) -> float:
    """Evaluate a small horizon first, so that what is loaded on first use does not count."""
    KINDS[kind](10)()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    run = KINDS[kind](horizon)
    run()
    run()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return float(line.split()[1]) / 1024.0


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
