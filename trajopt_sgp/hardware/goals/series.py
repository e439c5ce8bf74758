"""Many goals one after the other, each kept on disk, so that a series goes on where it was ended."""

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.files import write_json
from trajopt_sgp.hardware.goals.outcome import GoalOutcome, judge_goal
from trajopt_sgp.hardware.goals.run import run_goal
from trajopt_sgp.hardware.goals.tasks import GoalTask, draw_tasks
from trajopt_sgp.hardware.processes.launch import LOG
from trajopt_sgp.hardware.settings import HardwareSettings

_RECORD = "outcome.json"


@dataclass(frozen=True)
class GoalRecord:
    """One goal that was run.

    Attributes:
        task: Goal and start.
        log: Of the tracker.
        outcome: What the log says.
        load: Of the machine, averaged over the 15 minutes before it was done.
    """

    task: GoalTask
    log: Path
    outcome: GoalOutcome
    load: float


def run_series(count: int, seed: int, settings: HardwareSettings, folder: Path) -> Iterator[GoalRecord]:
    """Run random goals that are not yet done, and return all of them in their order, each when it is done.

    A goal that was done before is judged again by its log.

    Args:
        count: Number of goals.
        seed: Of goals and starts.
        settings: Of the runs.
        folder: For one folder to each goal.

    Raises:
        HardwareError: a process has ended; or in the folder are goals of other settings or another seed.
    """
    for number, task in enumerate(draw_tasks(count, seed)):
        place = folder / f"goal-{number:02d}"
        asked = {"task": _plain(task), "settings": _plain(task.settings(settings))}
        if (place / _RECORD).exists():
            load = _read_same(place / _RECORD, asked)["load"]
            yield GoalRecord(task, place / LOG, judge_goal(place / LOG), load)
            continue
        outcome, load = run_goal(task, settings, place), os.getloadavg()[2]
        # written last: a goal without it is run again
        write_json(place / _RECORD, {**asked, "outcome": _plain(outcome), "load": load})
        yield GoalRecord(task, place / LOG, outcome, load)


def _read_same(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = json.loads(path.read_text())
    if any(done[name] != asked[name] for name in asked):
        raise HardwareError(f"{path} is of another goal or other settings: choose another folder, or remove it.")
    return done


def _plain(value: Any) -> Any:
    """Return what JSON gives back for a dataclass."""
    return json.loads(json.dumps(dataclasses.asdict(value)))
