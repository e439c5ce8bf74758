"""What the first use costs: import, and the first solves with and without kernels kept from an earlier run."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.rows import Case, Row

LAYERS = ("data", "envs", "formulations", "learning", "models", "mpc", "problem", "solvers", "uncertainty")
IMPORT = "import " + ", ".join(f"trajopt_sgp.{layer}" for layer in LAYERS)
BOUND = "import torch, casadi"
IMPORTS = 5

SOLVE = """
import time
import benchmarks.networks as networks, benchmarks.transcriptions as transcriptions
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
problem = transcriptions.swing_up(networks.StepNetwork({width}, 2), {horizon})
begin = time.perf_counter()
solve(problem, {formulation}, {solver})
print(time.perf_counter() - begin)
"""

SOLVES = {
    "Ipopt": ("DirectTranscription()", "Ipopt()"),
    "gradient descent": ("SingleShooting()", "GradientDescent(iterations=20)"),
}


def cases() -> list[Case]:
    """Import and first solves."""
    return [Case("first_use", "A new process each; import includes the start of the interpreter.", _first_use)]


def _first_use(quick: bool) -> Iterator[Row]:
    ours, bound = (_import_ms(code, 1 if quick else IMPORTS) for code in (IMPORT, BOUND))
    yield Row(case="import of all but plots and commands", ours_ms=ours, bound_ms=bound, note=f"bound: {BOUND}")
    width, horizon = (16, 8) if quick else (128, 50)
    for name, (formulation, solver) in list(SOLVES.items())[: 1 if quick else None]:
        code = SOLVE.format(width=width, horizon=horizon, formulation=formulation, solver=solver)
        with tempfile.TemporaryDirectory() as folder:
            # no compiler can be found: whatever compiled C++ would fail
            environment = {"PATH": folder, "CXX": "", "CC": ""}
            if not quick:
                environment["NUMBA_CACHE_DIR"] = folder
            for state in ("warm",) if quick else ("empty", "warm"):
                seconds = float(_python(code, environment).split()[-1])
                note = "no C++ compiler within reach"
                yield Row(case=f"first solve, {name}, {state} kernel cache", ours_ms=1e3 * seconds, note=note)


def _import_ms(code: str, repeats: int) -> float:
    """Return the median time of a new process with its files in memory."""
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        _python(code, {})
        seconds.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(seconds[1:]))


def _python(code: str, variables: dict[str, str]) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | variables)
    return result.stdout
