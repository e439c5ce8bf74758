"""The page of a series of goals."""

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trajopt_sgp.hardware.goals import GoalRecord
from trajopt_sgp.hardware.goals.outcome import ACTIONS, REACHED
from trajopt_sgp.markdown import markdown_table

GOAL_COLUMNS = ("goal", "reached", "actions", "error at first [mm]", "least [mm]", "at the end [mm]")


def told(record: GoalRecord) -> str:
    """Return in a few words what became of a goal."""
    outcome = record.outcome
    return f"{outcome.actions} actions" if outcome.reached else f"not reached, {1e3 * outcome.least_error:.0f} mm"


def goal_row(number: int, record: GoalRecord) -> list[object]:
    """Return the row of a goal in the table of `GOAL_COLUMNS`."""
    outcome = record.outcome
    errors = (outcome.first_error, outcome.least_error, outcome.last_error)
    return [number, "yes" if outcome.reached else "no", outcome.actions, *(round(1e3 * error, 1) for error in errors)]


def write_goals_page(
    page: Path, document: Mapping[str, Any], records: Sequence[GoalRecord], pictures: Mapping[str, Path]
) -> None:
    """Write the page, and copy its pictures to the folder `images` beside it."""
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    shown = []
    for name, picture in pictures.items():
        copied = images / f"{page.stem}-{name}{picture.suffix}"
        shutil.copyfile(picture, copied)
        shown.append(f"![{name}](images/{copied.name})")
    rows = [["–" if cell is None else str(cell) for cell in goal_row(i, record)] for i, record in enumerate(records)]
    parts = [
        "---\norphan: true\n---",
        f"# Random goals over LCM, {_scheduler(document)}",
        _introduction(document),
        _figures(document),
        *shown,
        markdown_table(list(GOAL_COLUMNS), rows),
    ]
    page.write_text("\n\n".join(parts) + "\n")


def _scheduler(document: Mapping[str, Any]) -> str:
    return f"SCHED_FIFO {document['priority']}" if document["priority"] else "the ordinary scheduler"


def _introduction(document: Mapping[str, Any]) -> str:
    network = "a private network with a loopback alone" if document["private_network"] else "the loopback, ttl 0"
    return (
        f"Written by `trajopt-sgp hardware goals`. Simulator, tracker and planner are three processes that speak over "
        f"LCM in {network}; the tracker runs under {_scheduler(document)}. All numbers are read from the tracker's "
        f"logs, pooled over the goals, from the first to the last command of each. A goal counts as reached when the "
        f"mean distance of the measured keypoints from it is at most {1e3 * REACHED:.0f} mm within {ACTIONS} actions "
        f"of {document['action_duration_ms']:.0f} ms. The load of the machine over the 15 minutes before the end was "
        f"{document['load_15_minutes']:.1f} on {os.cpu_count()} cores. Python {platform.python_version()}. "
        "Every run ends with a stop, which counts as an intervention."
    )


def _figures(document: Mapping[str, Any]) -> str:
    latency = "12 ms" if not document["priority"] else "6 ms"
    action = document["action_duration_ms"]
    low, high = 100 * document["share_low"], 100 * document["share_high"]
    rows = [
        ["goals reached", f"{document['reached']} of {document['of']}, [{low:.0f}, {high:.0f}] %", "65 %"],
        ["median number of actions", _number(document["actions_median"], 0), ""],
        ["commands per status", f"{100 * document['answered']:.2f} %", "97 %"],
        ["status to command, median", f"{_number(document['latency_p50_ms'], 2)} ms", "1.5 ms"],
        ["status to command, 99 %", f"{_number(document['latency_p99_ms'], 2)} ms", latency],
        ["between plans, median", f"{_number(document['plan_period_p50_ms'], 0)} ms", ""],
        ["between plans, 99 %", f"{_number(document['plan_period_p99_ms'], 0)} ms", f"{action:.0f} ms"],
        ["statuses, plans", f"{document['statuses']:,}, {document['plans']:,}", ""],
    ]
    rows += [[f"ticks with {name}", f"{count:,}", ""] for name, count in sorted(document["interventions"].items())]
    return markdown_table(["what", "found", "asked for"], rows)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
