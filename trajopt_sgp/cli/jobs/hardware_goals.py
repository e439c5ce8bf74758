"""Random goals between the processes: the series, its figures, and its report."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.cli.jobs.hardware_goals_page import GOAL_COLUMNS, goal_row, told, write_goals_page
from trajopt_sgp.cli.jobs.hardware_pictures import animate, draw_times, sample_states
from trajopt_sgp.cli.report import Report, make_listing, make_table, note
from trajopt_sgp.hardware.goals import GoalRecord, run_series
from trajopt_sgp.hardware.motion_record import read_motion
from trajopt_sgp.hardware.processes.network import enter_private_network, in_private_network
from trajopt_sgp.hardware.run_report import RunReport, pool_reports, report_run
from trajopt_sgp.hardware.settings import HardwareSettings, read_settings
from trajopt_sgp.studies.statistics import success_rate


def run_goals(
    settings_file: Path | None, goals: int, seed: int, folder: Path, page: Path | None, quiet: bool
) -> Report:
    """Run the goals that are not done yet, and report on all.

    Raises:
        HardwareError: LCM is missing or has no network; a process has ended; other goals are in the folder.
    """
    settings = read_settings(settings_file)
    private = in_private_network() or enter_private_network()
    records = []
    for record in run_series(goals, seed, settings, folder):
        records.append(record)
        note(f"goal {len(records)} of {goals}: {told(record)}", quiet)
    times = pool_reports([report_run(record.log) for record in records])
    document = _document(records, times, settings, private)
    pictures = _draw(records, times, settings, folder)
    if page:
        write_goals_page(page, document, records, pictures)
    rows = [goal_row(number, record) for number, record in enumerate(records)]
    outcomes = [dataclasses.asdict(record.outcome) for record in records]
    blocks = [make_table("goals", GOAL_COLUMNS, rows), make_listing("all", {**document, **pictures})]
    return Report({**document, **pictures, "goals": outcomes}, blocks)


def _document(
    records: Sequence[GoalRecord], times: RunReport, settings: HardwareSettings, private: bool
) -> dict[str, Any]:
    actions = [record.outcome.actions for record in records if record.outcome.actions is not None]
    share = success_rate(len(actions), len(records))
    return {
        "reached": len(actions),
        "of": len(records),
        "share": share.value,
        "share_low": share.low,
        "share_high": share.high,
        "actions_median": float(np.median(actions)) if actions else None,
        "answered": times.answered,
        **times.quantiles(),
        "statuses": times.statuses,
        "plans": len(times.plan_periods) + len(records),
        "action_duration_ms": 1e3 * settings.action_duration,
        "priority": settings.priority,
        "private_network": private,
        "load_15_minutes": records[-1].load,
        "interventions": times.interventions,
    }


def _draw(
    records: Sequence[GoalRecord], times: RunReport, settings: HardwareSettings, folder: Path
) -> Mapping[str, Path]:
    episodes = {
        f"{number}: {told(record)}": (sample_states(read_motion(record.log)), np.asarray(record.task.goal))
        for number, record in enumerate(records)
    }
    return {
        "times": draw_times(times, settings, folder),
        "animation": animate(episodes, settings, folder / "goals.gif"),
    }
