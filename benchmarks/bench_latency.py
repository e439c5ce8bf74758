"""Cart-pole MPC on learned models with 0 and 100 ms of latency, known to the controller and not.

Trains its own models on 10,000 transitions; `python -m benchmarks.bench_latency --write docs/latency.md` runs twenty
episodes of each case, the cases that have a result left out, and writes the table.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Measurement
from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.learning import train_dynamics, train_energy
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics
from trajopt_sgp.studies.demo import swing_up_controller
from trajopt_sgp.studies.mpc_episodes import EpisodeResults, random_hanging_states, run_episodes
from trajopt_sgp.studies.training import TrainedModels

RESULTS = Path("benchmarks/results/latency.json")
SECONDS, TIME_STEP = 10.0, 0.05


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    latency: float
    """Injected into the environment [s]."""
    known: bool
    """Whether the controller compensates it."""


CASES = (Case(0.0, True), Case(0.1, True), Case(0.1, False))


@dataclass(frozen=True)
class Row:
    """What came of a case."""

    case: Case
    episodes: int
    successes: int
    step_ms_p50: float
    step_ms_p99: float


def measure() -> Iterator[Measurement]:
    """Time one short episode of each case."""
    models = train(seed=0)
    for case in CASES:
        results = run(models, case, episodes=1, seconds=2.0)
        seconds = 1e-3 * results.step_milliseconds
        name = f"step, {1e3 * case.latency:.0f} ms latency{', known' if case.known else ', unknown'}"
        yield Measurement(name, float(np.median(seconds)), float(seconds.min()), len(seconds))


def train(seed: int) -> TrainedModels:
    """Train dynamics and energy network on sampled transitions."""
    data: Transitions = sample_cartpole_transitions(10_000, np.random.default_rng(seed))
    dynamics: LearnedDynamics = train_dynamics(data, seed=seed).model
    energy: EnergyNetwork = train_energy(data, seed=seed).model
    return TrainedModels(dynamics, None, energy, {})  # type: ignore[arg-type]


def run(models: TrainedModels, case: Case, episodes: int, seconds: float) -> EpisodeResults:
    """Run a case in the real environment."""
    controller = swing_up_controller(models)
    controller.latency = case.latency if case.known else 0.0
    delay = round(case.latency / TIME_STEP)
    starts = random_hanging_states(episodes, seed=0)
    return run_episodes(controller, starts, round(seconds / TIME_STEP), delay_steps=delay)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| latency | controller | episodes that end upright | step p50 | step p99 |", "|---|---|---|---|---|"]
    for row in rows:
        knows = "knows it" if row.case.known and row.case.latency else "does not know it" if row.case.latency else "–"
        lines.append(
            f"| {1e3 * row.case.latency:.0f} ms | {knows} | {row.successes} of {row.episodes} "
            f"| {row.step_ms_p50:.0f} ms | {row.step_ms_p99:.0f} ms |"
        )
    return "\n".join(lines)


def stored(episodes: int) -> list[Row]:
    """The rows of an earlier run that was cut off or has ended, if it had as many episodes."""
    if not RESULTS.exists():
        return []
    rows = [Row(**{**entry, "case": Case(**entry["case"])}) for entry in json.loads(RESULTS.read_text())]
    return rows if all(row.episodes == episodes for row in rows) else []


def main() -> None:
    """Run the cases that have no result yet and write the table; remove the results to run all anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, models = stored(arguments.episodes), train(seed=0)
    for case in CASES[len(rows) :]:
        results = run(models, case, arguments.episodes, SECONDS)
        times = np.percentile(results.step_milliseconds, [50, 99])
        rows.append(Row(case, len(results.success), int(results.success.sum()), float(times[0]), float(times[1])))
        print(rows[-1], flush=True)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    if arguments.write:
        text = "# Latency\n\nTwenty episodes of ten seconds each, from random hanging states, models of one seed.\n"
        command = f"python -m benchmarks.bench_latency --episodes {arguments.episodes} --write {arguments.write}"
        arguments.write.write_text(f"{text}Made by `{command}`.\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
