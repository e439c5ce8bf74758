"""What a guess and its multipliers save when the initial state has moved a little.

`python -m benchmarks.bench_warm_start --write docs/warm-starts.md` writes the table.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Measurement
from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import Solution
from trajopt_sgp.solvers import Ipopt, PreparedSolve, prepare, random_guesses
from trajopt_sgp.studies.swing_up import swing_up_problem

PERTURBATIONS = (0.0, 0.01, 0.05, 0.2)
WAYS = ("cold", "trajectory", "trajectory and multipliers")
DRAWS = 5


@dataclass(frozen=True)
class Row:
    """One cell of the table."""

    perturbation: float
    way: str
    iterations: float
    milliseconds: float


def rows() -> Iterator[Row]:
    """Solve the swing-up anew from perturbed initial states in every way; medians over several draws."""
    torch.set_num_threads(1)
    problem = swing_up_problem(CartPoleDynamics(), horizon=40, effort_weight=0.1)
    prepared = prepare(problem, DirectTranscription(), Ipopt())
    prepared.trace()
    guess = random_guesses(problem, 1, np.random.default_rng(0))
    first = prepared.solve(guess)
    for size in PERTURBATIONS:
        states = problem.start + size * np.random.default_rng(1).normal(size=(DRAWS, 4))
        for way in WAYS:
            found = [_solve(prepared, state, way, first) for state in states]
            iterations = statistics.median(solution.iterations for solution, _ in found)
            yield Row(size, way, iterations, 1e3 * statistics.median(seconds for _, seconds in found))


def _solve(prepared: PreparedSolve, state: np.ndarray, way: str, first: Solution) -> tuple[Solution, float]:
    guess = (
        first.trajectory if way != "cold" else random_guesses(prepared.problem, 1, np.random.default_rng(0)).select(0)
    )
    states, controls = guess.states.copy()[None], guess.controls[None]
    states[0, 0] = state
    plan = type(guess)(states, controls, guess.time_step)
    multipliers = [first.multipliers] if way == WAYS[2] else []
    begin = time.perf_counter()
    solution = prepared.solve_batch(state[None], plan, multipliers=multipliers)[0]
    return solution, time.perf_counter() - begin


def measure() -> Iterator[Measurement]:
    """Time every cell of the table."""
    for row in rows():
        name = f"moved by {row.perturbation}, {row.way}: {row.iterations:.0f} iterations"
        yield Measurement(name, 1e-3 * row.milliseconds, 1e-3 * row.milliseconds, DRAWS)


def page(found: list[Row]) -> str:
    """The table in Markdown."""
    head = "| initial state moved by | " + " | ".join(WAYS) + " |\n|---|" + "---|" * len(WAYS)
    lines = [
        f"| {size:g} | "
        + " | ".join(
            f"{row.iterations:.0f} iterations, {row.milliseconds:.0f} ms" for row in found if row.perturbation == size
        )
        + " |"
        for size in PERTURBATIONS
    ]
    text = (
        "The cart-pole swing-up, 40 intervals, transcribed and solved by Ipopt to 1e-8, from the solution of the\n"
        "unmoved problem: its trajectory alone, or its multipliers too. Medians of five draws, written by\n"
        "`python -m benchmarks.bench_warm_start --write docs/warm-starts.md`."
    )
    return f"# Warm starts\n\n{text}\n\n{head}\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    arguments = parser.parse_args()
    text = page(list(rows()))
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
