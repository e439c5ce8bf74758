"""What the first use costs: import, and the first solves with and without kernels kept from an earlier run."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from benchmarks.rows import Case, Row

IMPORT = "import trajopt_sgp.solvers, trajopt_sgp.formulations, trajopt_sgp.models, trajopt_sgp.mpc"

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
    begin = time.perf_counter()
    _python(IMPORT, {})
    yield Row(case="import of all but plots", ours_ms=1e3 * (time.perf_counter() - begin))
    width, horizon = (16, 8) if quick else (128, 50)
    for name, (formulation, solver) in list(SOLVES.items())[: 1 if quick else None]:
        code = SOLVE.format(width=width, horizon=horizon, formulation=formulation, solver=solver)
        with tempfile.TemporaryDirectory() as folder:
            # no compiler can be found: whatever compiled C++ would fail
            environment = {"NUMBA_CACHE_DIR": folder, "PATH": folder, "CXX": "", "CC": ""}
            for state in ("empty", "warm"):
                seconds = float(_python(code, environment).split()[-1])
                note = "no C++ compiler within reach"
                yield Row(case=f"first solve, {name}, {state} kernel cache", ours_ms=1e3 * seconds, note=note)


def _python(code: str, variables: dict[str, str]) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | variables)
    return result.stdout
