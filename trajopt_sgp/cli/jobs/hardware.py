"""Running processes on the bus, and what their logs tell."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.cli.jobs.hardware_pictures import draw_run
from trajopt_sgp.cli.report import Report, make_listing, make_table
from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.bus import Bus
from trajopt_sgp.hardware.mocap import explain_residual, fit_planar
from trajopt_sgp.hardware.orders import tell_tracker
from trajopt_sgp.hardware.processes.__main__ import main
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.processes.network import enter_private_network, in_private_network
from trajopt_sgp.hardware.replay import replay
from trajopt_sgp.hardware.run_report import report_run
from trajopt_sgp.hardware.safety import LATCHED, Mode
from trajopt_sgp.hardware.settings import read_settings, write_settings
from trajopt_sgp.hardware.signals import interrupted_once


def run_process(role: str, settings: Path | None, log: Path | None = None) -> None:
    """Run one process in this one until it ends."""
    main(role, settings, log)


def run_all(settings_file: Path | None, seconds: float, folder: Path) -> Report:
    """Run the three processes for a time, and report.

    Raises:
        HardwareError: LCM is missing or has no network; the tracker has ended; nothing was commanded.
    """
    settings = read_settings(settings_file)
    Bus(settings.url).close()  # says at once what is missing
    folder.mkdir(parents=True, exist_ok=True)
    with Processes(settings, folder) as processes:
        processes.wait(seconds)
    report = report_run(processes.log)
    document = {
        "statuses": report.statuses,
        "commands": report.commands,
        "answered": report.answered,
        **report.quantiles(),
        "interventions": report.interventions,
        "events": [": ".join(event) for event in report.events],
        "log": processes.log,
        **draw_run(processes.log, report, settings, folder),
    }
    return Report(document, [make_listing("run", document)])


def run_replay(log: Path) -> Report:
    """Replay a log."""
    found = dataclasses.asdict(replay(log))
    return Report(found, [make_listing("replay", found)], exit_code=int(found["differing"] > 0))


def run_calibrate(points_file: Path, settings_file: Path | None, output: Path, largest: float) -> Report:
    """Fit the registration and write it into settings, unless more than `largest` [mm] remain between the points.

    Raises:
        OptionError: the file holds no points, or they do not fit on each other; nothing is written.
    """
    points = _points(points_file)
    motion, residual = fit_planar(points["mocap"], points["robot"])
    if not 1000 * residual <= largest:
        doubt = explain_residual(points["mocap"], points["robot"], largest / 1000)
        raise OptionError(
            f"The points in {points_file} remain {1000 * residual:.3g} mm apart, and {largest:g} mm are accepted: "
            f"{doubt}? If they are right, --largest-residual accepts more."
        )
    rows = tuple(tuple(row) for row in motion.tolist())
    write_settings(dataclasses.replace(read_settings(settings_file), robot_from_mocap=rows), output)
    found = {"robot_from_mocap": motion, "residual_mm": 1000 * residual, "settings": output}
    return Report(found, [make_listing("registration", found)])


def run_faults(only: list[str] | None, settings_file: Path | None, folder: Path, seed: int) -> Report:
    """Inject faults one after the other.

    Raises:
        OptionError: an unknown fault.
    """
    from trajopt_sgp.hardware.faults import FAULTS, run_fault

    if unknown := sorted(set(only or ()) - set(FAULTS)):
        raise OptionError(f"Unknown faults {', '.join(unknown)}; choose from {', '.join(FAULTS)}.")
    settings = read_settings(settings_file)
    private = in_private_network() or enter_private_network()
    records = [run_fault(name, settings, folder / name.replace(" ", "-"), seed) for name in only or FAULTS]
    passed = [record.passed(FAULTS[record.fault]) for record in records]
    columns = [field.name for field in dataclasses.fields(records[0])]
    rows = [[*dataclasses.astuple(record), ok] for record, ok in zip(records, passed, strict=True)]
    document = {
        "faults": [dataclasses.asdict(record) for record in records],
        "passed": passed,
        "private_network": private,
    }
    return Report(document, [make_table("faults", [*columns, "passed"], rows)], exit_code=int(not all(passed)))


def run_move(pusher: tuple[float, float, float], settings_file: Path | None) -> Report:
    """Move the pusher; every signal that asks to end brakes it.

    Raises:
        NotFiniteError, OptionError: it cannot go there.
        HardwareError: LCM is missing or has no network; there is no driver, or it has not arrived.
    """
    from trajopt_sgp.hardware.lcm_robot import LcmRobot
    from trajopt_sgp.hardware.motions import check_target, move_to

    robot = LcmRobot(read_settings(settings_file))
    target = check_target(robot, np.array(pusher))
    with interrupted_once(), robot:
        found = {"pusher": move_to(robot, target), "interventions": dict(robot.safety.counts)}
    return Report(found, [make_listing("moved", found)])


def run_order(order: str, settings_file: Path | None) -> Report:
    """Tell a tracker to stop or to reset; the exit code is 1 if the arm moves then, or is latched still."""
    answer = tell_tracker(read_settings(settings_file), order)
    found = {"order": order, "mode": answer.mode.name, "interventions": list(answer.interventions)}
    held = answer.mode in (Mode.IDLE, Mode.HOLDING)
    done = held if order == "stop" else not LATCHED & set(answer.interventions)
    return Report(found, [make_listing("tracker", found)], exit_code=int(not done))


def run_to_dataset(log: Path, dataset: str, overwrite: bool) -> Report:
    """Write a log as a dataset; where its actions are longer than those of the environment, it says so and allows them.

    Raises:
        HardwareError, DatasetError: the log holds no transitions; there is a dataset of this name already.
    """
    import gymnasium

    from trajopt_sgp.data import write_minari_dataset
    from trajopt_sgp.data.episode_buffers import make_episode
    from trajopt_sgp.envs import PLANAR_PUSHER_ID
    from trajopt_sgp.envs.pusher_equations import PusherParameters
    from trajopt_sgp.hardware.dataset import read_episodes
    from trajopt_sgp.hardware.replay import log_settings

    episodes, limit = read_episodes(log), PusherParameters().step_limit
    lengths = np.concatenate([np.linalg.norm(episode.actions, axis=1) for episode in episodes])
    own = {"time_step": log_settings(log).action_duration, "step_limit": max(limit, float(lengths.max()))}
    with gymnasium.make(PLANAR_PUSHER_ID, parameters=own) as environment:
        buffers = [make_episode(episode.observations, episode.actions) for episode in episodes]
        write_minari_dataset(
            buffers,
            dataset,
            environment,
            overwrite=overwrite,
            algorithm_name="logged on an arm",
            has_rewards=False,
        )
    found = {
        "dataset": dataset,
        "episodes": len(episodes),
        "transitions": len(lengths),
        "longest_action_mm": 1000 * float(lengths.max()),
        f"longer_than_{1000 * limit:.0f}_mm": int((lengths > limit).sum()),
    }
    return Report(found, [make_listing("dataset", found)])


def _points(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return {name: np.array(found[name], dtype=np.float64) for name in ("mocap", "robot")}
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{path} must hold lists of points called mocap and robot: {error}.") from error
