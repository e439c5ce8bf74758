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
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.arm_pusher import ArmPusherEnv

EPISODE = 100
"""Actions of an episode."""
MEMORY_SLOPE = 5.0
"""Largest growth of memory that counts as flat [MB/h], in the second half of the samples."""
_STRAIGHT, _OUTSIDE, _MARGIN, _MEMORY_PERIOD = 5, 0.1, 0.03, 20
_SMOOTHING = frozenset(
    {"pusher speed", "pusher acceleration", "joint speed", "joint acceleration", "joint box", "waiting for joints"}
)
_SHORTENING = frozenset({"pusher box"})


@dataclass
class Soak:
    """What was found.

    Attributes:
        actions: Of the environment; each is in one of the next four classes.
        exact: The filter changed no command.
        smoothed: It only made motion begin or end more gently, so that the way was kept and the end came later.
        shortened: The end of the workspace kept the pusher from where the action wanted it.
        refused: At least one command was not followed.
        asked, followed, modified, unfollowed: Commands as the robot counts them: where they come in, and where it has
            decided on them.
        sent: Commands that the robot gave to the arm.
        steps: Periods that have passed in the arm, by its own clock.
        interventions: Of the filter, by name.
        drift: Largest difference of logged from commanded time in an episode [s].
        shortfall: Of every action, from where it wanted the pusher to where it was commanded at its end [m].
        hours: Simulated time at every sample of memory [h].
        memory: Resident [MB].
        seconds: Of wall time.
    """

    actions: int = 0
    exact: int = 0
    smoothed: int = 0
    shortened: int = 0
    refused: int = 0
    asked: int = 0
    followed: int = 0
    modified: int = 0
    unfollowed: int = 0
    sent: int = 0
    steps: int = 0
    interventions: Counter[str] = field(default_factory=Counter)
    drift: float = 0.0
    shortfall: list[float] = field(default_factory=list)
    hours: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def slope(self) -> float:
        """Growth of memory [MB/h] over the second half, when everything is loaded."""
        half = len(self.hours) // 2
        return float(np.polyfit(self.hours[half:], self.memory[half:], 1)[0])

    def failures(self, commands_per_action: int = 100) -> list[str]:
        """Return what must not be."""
        classes = self.exact + self.smoothed + self.shortened + self.refused
        found = {
            f"memory grows by {self.slope:.1f} MB/h": self.slope > MEMORY_SLOPE,
            f"durations drift by {self.drift:.2e} s": self.drift > 1e-6,
            f"{self.actions} actions, {classes} of them classified": classes != self.actions,
            f"{self.asked} commands came in for {self.actions} actions": self.asked
            != self.actions * commands_per_action,
            "commands are not accounted for": self.asked != self.followed + self.modified + self.unfollowed,
            f"{self.sent} commands were sent and {self.steps} carried out": self.sent != self.steps,
        }
        return [name for name, wrong in found.items() if wrong]


def soak(hours: float, seed: int = 0) -> Soak:
    """Push for a simulated time [h] with random actions, of which some would leave the workspace."""
    plant, generator, result = ArmPusherEnv(), np.random.default_rng(seed), Soak()
    begin, wanted = time.perf_counter(), max(EPISODE, round(hours * 3600.0 / plant.time_step))
    plant.reset(seed=seed)
    while result.actions < wanted:
        _episode(plant, min(EPISODE, wanted - result.actions), generator, result)
    result.seconds = time.perf_counter() - begin
    return result


def _episode(plant: ArmPusherEnv, actions: int, generator: np.random.Generator, result: Soak) -> None:
    plant.reset()
    heading = np.zeros(2)
    for number in range(1, actions + 1):
        if number % _STRAIGHT == 1:
            heading = _heading(plant, generator)
        *_, info = plant.step(heading)
        _count(info["interventions"], result)
        result.shortfall.append(info["shortfall"])
        result.drift = max(result.drift, abs(info["time"] - number * plant.time_step))
        if result.actions % _MEMORY_PERIOD == 0:
            result.hours.append(result.actions * plant.time_step / 3600.0)
            result.memory.append(_resident())
    count, state = plant.robot.actions, plant.robot.get_observation()
    result.asked, result.followed = result.asked + count.asked, result.followed + count.followed
    result.modified, result.unfollowed = result.modified + count.modified, result.unfollowed + count.refused
    result.sent += count.sent
    result.steps += round(state.time / plant.robot.limits.period)


def _heading(plant: ArmPusherEnv, generator: np.random.Generator) -> FloatArray:
    """Return a displacement on the way to a random place, one in ten far outside the workspace."""
    low, high = (np.array(corner) for corner in plant.pusher_box)
    place = generator.uniform(low + _MARGIN, high - _MARGIN)
    if generator.random() < _OUTSIDE:
        place = 3 * place - (low + high)
    way = (place - plant.robot.get_observation().tip[:2]) / _STRAIGHT
    heading: FloatArray = way * min(1.0, plant.parameters.step_limit / float(np.linalg.norm(way)))
    return heading


def _count(interventions: dict[str, int], result: Soak) -> None:
    result.actions += 1
    result.interventions.update(interventions)
    if not interventions:
        result.exact += 1
    elif not all(name in _SMOOTHING | _SHORTENING for name in interventions):
        result.refused += 1
    elif _SHORTENING & set(interventions):
        result.shortened += 1
    else:
        result.smoothed += 1


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024.0


_EXPLANATION = """
Nearly every action is smoothed, and rightly: it wants an even speed at once, and the filter lets no more than 0.6
m/s² pass on each axis, so that the first and the last fifth of a second of a motion are its work. The way is kept.
What is *shortened* cannot be made up for: one heading in ten leads out of the workspace. The counts come from
places that do not know of each other: the environment counts actions, the robot counts commands where they come in
and, apart from that, where it has decided on them, and the arm has its own clock."""


def page(result: Soak, hours: float) -> str:
    """Return what was found in Markdown."""
    simulated, shortfall = result.steps * 0.005, 1000 * np.array(result.shortfall)
    rows = [
        ("simulated time", f"{simulated:,.0f} s"),
        ("wall time", f"{result.seconds:,.0f} s, {simulated / result.seconds:.1f} times real time"),
        ("memory at first, at last", f"{result.memory[0]:.1f} MB, {result.memory[-1]:.1f} MB"),
        ("growth over the second half", f"{result.slope:.2f} MB/h"),
        ("largest difference of logged from commanded time in an episode", f"{result.drift:.1e} s"),
        ("**actions**", f"**{result.actions:,}**"),
        ("no command changed", f"{result.exact:,}"),
        ("smoothed", f"{result.smoothed:,}"),
        ("shortened", f"{result.shortened:,}"),
        ("refused", f"{result.refused:,}"),
        (
            "from where an action wanted the pusher to where it was commanded in the end, median, 9 in 10 [mm]",
            f"{np.median(shortfall):.2f}, {np.quantile(shortfall, 0.9):.2f}",
        ),
        ("**commands that came in**", f"**{result.asked:,}**"),
        ("followed as they were", f"{result.followed:,}"),
        ("modified", f"{result.modified:,}"),
        ("refused", f"{result.unfollowed:,}"),
        ("commands to the arm; periods by the clock of the arm", f"{result.sent:,}; {result.steps:,}"),
        *((f"commands with {name}", f"{count:,}") for name, count in sorted(result.interventions.items())),
    ]
    lines = [
        "---\norphan: true\n---\n\n# A long run of the simulated arm\n",
        f"Written by `python -m benchmarks.soak_arm --hours {hours:g} --write docs/soak.md`: random pushes,",
        f"in lockstep, {EPISODE} actions to an episode, each another box. Python {describe_machine()['python']}.\n",
        "| what | found |\n|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        _EXPLANATION,
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
