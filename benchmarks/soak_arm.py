"""An hour of pushing with the simulated arm, in lockstep: memory, durations, and what became of every action.

`python -m benchmarks.soak_arm --hours 1 --write docs/soak.md` takes five minutes of one idle core, and ends with an
error where memory grows, durations drift or an action is not accounted for.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.measure import describe_machine
from trajopt_sgp.hardware.arm_pusher import ArmPusherEnv

EPISODE = 100
"""Actions of an episode."""
MEMORY_SLOPE = 5.0
"""Largest growth of memory that counts as flat [MB/h], in the second half of the samples."""
_SPREAD, _MEMORY_PERIOD = 0.04, 20


@dataclass
class Soak:
    """What was found.

    Attributes:
        actions, sent, modified, refused: Actions in all, sent as wanted, changed by the filter, and not sent at all or
            only braked; the last three make the first.
        commands: Of 5 ms, to the arm.
        interventions: Of the filter, by name.
        drift: Largest difference of logged from commanded time in an episode [s].
        hours: Simulated time at every sample of memory [h].
        memory: Resident [MB].
        seconds: Of wall time.
    """

    actions: int = 0
    sent: int = 0
    modified: int = 0
    refused: int = 0
    commands: int = 0
    interventions: Counter[str] = field(default_factory=Counter)
    drift: float = 0.0
    hours: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def slope(self) -> float:
        """Growth of memory [MB/h] over the second half, when everything is loaded."""
        half = len(self.hours) // 2
        return float(np.polyfit(self.hours[half:], self.memory[half:], 1)[0])

    @property
    def accounted(self) -> bool:
        """Whether every action is in one and only one class."""
        return self.sent + self.modified + self.refused == self.actions

    def failures(self) -> list[str]:
        """Return what must not be."""
        found = {
            f"memory grows by {self.slope:.1f} MB/h": self.slope > MEMORY_SLOPE,
            f"durations drift by {self.drift:.2e} s": self.drift > 1e-6,
            "actions are not accounted for": not self.accounted,
        }
        return [name for name, wrong in found.items() if wrong]


def soak(hours: float, seed: int = 0) -> Soak:
    """Push for a simulated time [h], with random actions, some of which would leave the workspace."""
    plant, generator, result = ArmPusherEnv(), np.random.default_rng(seed), Soak()
    begin, wanted = time.perf_counter(), max(EPISODE, round(hours * 3600.0 / plant.time_step))
    plant.reset(seed=seed)
    while result.actions < wanted:
        _episode(plant, min(EPISODE, wanted - result.actions), generator, result)
    result.seconds = time.perf_counter() - begin
    return result


def _episode(plant: ArmPusherEnv, actions: int, generator: np.random.Generator, result: Soak) -> None:
    plant.reset()
    heading = generator.uniform(-_SPREAD, _SPREAD, 2)
    for number in range(1, actions + 1):
        if number % 5 == 0:
            heading = generator.uniform(-_SPREAD, _SPREAD, 2)
        *_, info = plant.step(heading)
        _count(info["interventions"], result)
        result.drift = max(result.drift, abs(info["time"] - number * plant.time_step))
        result.commands += round(plant.time_step / plant.robot.limits.period)
        if result.actions % _MEMORY_PERIOD == 0:
            result.hours.append(result.actions * plant.time_step / 3600.0)
            result.memory.append(_resident())


def _count(interventions: dict[str, int], result: Soak) -> None:
    result.actions += 1
    result.interventions.update(interventions)
    if not interventions:
        result.sent += 1
    elif all(name.startswith(("pusher ", "joint ", "waiting")) for name in interventions):
        result.modified += 1
    else:
        result.refused += 1


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024.0


def page(result: Soak, hours: float) -> str:
    """Return what was found in Markdown."""
    simulated = result.commands * 0.005
    rows = [
        ("simulated time", f"{simulated:,.0f} s"),
        ("wall time", f"{result.seconds:,.0f} s, {simulated / result.seconds:.1f} times real time"),
        ("memory at first, at last", f"{result.memory[0]:.1f} MB, {result.memory[-1]:.1f} MB"),
        ("growth over the second half", f"{result.slope:.2f} MB/h"),
        ("largest difference of logged from commanded time in an episode", f"{result.drift:.1e} s"),
        ("actions", f"{result.actions:,}"),
        ("sent as wanted", f"{result.sent:,}"),
        ("modified by the safety filter", f"{result.modified:,}"),
        ("refused", f"{result.refused:,}"),
        ("commands to the arm", f"{result.commands:,}"),
        *((f"commands with {name}", f"{count:,}") for name, count in sorted(result.interventions.items())),
    ]
    lines = [
        "---\norphan: true\n---\n\n# A long run of the simulated arm\n",
        f"Written by `python -m benchmarks.soak_arm --hours {hours:g} --write docs/soak.md`: random pushes,",
        f"in lockstep, {EPISODE} actions to an episode, each another box. Python {describe_machine()['python']}.\n",
        "| what | found |\n|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1.0, help="simulated time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="file that receives the page")
    arguments = parser.parse_args()
    result = soak(arguments.hours, arguments.seed)
    text = page(result, arguments.hours)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)
    for failure in result.failures():
        print(f"error: {failure}", file=sys.stderr)
    sys.exit(1 if result.failures() else 0)


if __name__ == "__main__":
    main()
