"""`trajopt-sgp hardware ...`."""

from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import JsonOutput, Seed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp hardware run --seconds 20",
    "trajopt-sgp hardware goals --goals 20 --settings pusher.json",
    "trajopt-sgp hardware replay runs/hardware/tracker.lcmlog",
    "trajopt-sgp hardware faults --only 'second commander' --json",
    "trajopt-sgp hardware track --settings lab.toml --log runs/lab/tracker.lcmlog",
)

TELEOP = (
    "w s a d or arrows: away from the arm's base, towards it, left, right.  + -: double, halve the step.  "
    "space or any other key: stop.  r: reset a latched reason.  q: end."
)

hardware = typer.Typer(no_args_is_help=True, help="An arm over LCM: its processes, and tools around them.")

Settings = Annotated[
    Path | None, typer.Option(help="Settings, a TOML or JSON file with names of HardwareSettings.  [default: built in]")
]
RunFolder = Annotated[Path, typer.Option(help="Folder for settings, texts and logs.")]
Log = Annotated[Path, typer.Argument(help="Event log of a tracker.")]


@hardware.command()
def sim(settings: Settings = None) -> None:
    """Simulate arm, box and motion capture in real time, as the driver looks from the bus, until Ctrl-C."""
    from trajopt_sgp.cli.jobs.hardware import run_process

    run_process("simulator", settings)


@hardware.command()
def track(
    settings: Settings = None,
    log: Annotated[Path | None, typer.Option(help="Where the event log goes, a new file.  [default: none]")] = None,
) -> None:
    """Follow plans behind the safety filter until Ctrl-C; then brake and hold."""
    from trajopt_sgp.cli.jobs.hardware import run_process

    run_process("tracker", settings, log)


@hardware.command()
def stop(settings: Settings = None, json_output: JsonOutput = False) -> Report:
    """Tell a tracker that runs, or teleop, to brake and hold until `reset`. In danger press the cabinet's button."""
    from trajopt_sgp.cli.jobs.hardware import run_order

    return run_order("stop", settings)


@hardware.command()
def reset(settings: Settings = None, json_output: JsonOutput = False) -> Report:
    """Tell a tracker that runs, or teleop, to go on after `stop` or what else is latched; the arm may move at once."""
    from trajopt_sgp.cli.jobs.hardware import run_order

    return run_order("reset", settings)


@hardware.command()
def plan(settings: Settings = None) -> None:
    """Plan from the newest state, once per action duration, until Ctrl-C."""
    from trajopt_sgp.cli.jobs.hardware import run_process

    run_process("planner", settings)


@hardware.command(epilog=EXAMPLES)
def run(
    settings: Settings = None,
    seconds: Annotated[float, typer.Option(help="How long.", min=0.0)] = 20.0,
    folder: RunFolder = Path("runs/hardware"),
    json_output: JsonOutput = False,
) -> Report:
    """Start simulator, tracker and planner, end them, and report how times were kept, with a plot."""
    from trajopt_sgp.cli.jobs.hardware import run_all

    return run_all(settings, seconds, folder)


@hardware.command(epilog=EXAMPLES)
def goals(
    count: Annotated[int, typer.Option("--goals", help="How many.", min=1)] = 20,
    settings: Settings = None,
    seed: Seed = 0,
    folder: RunFolder = Path("runs/hardware/goals"),
    page: Annotated[Path | None, typer.Option(help="Where a page of results goes.  [default: none]")] = None,
    json_output: JsonOutput = False,
) -> Report:
    """Push the simulated box to random goals with the planner of the settings; half a minute for each at most.

    A goal that is done is kept, so that a series goes on where it was ended.
    """
    from trajopt_sgp.cli.jobs.hardware_goals import run_goals

    return run_goals(settings, count, seed, folder, page, json_output)


@hardware.command()
def replay(log: Log, json_output: JsonOutput = False) -> Report:
    """Decide again on every packet of a log; every decision must come out the same, bit for bit."""
    from trajopt_sgp.cli.jobs.hardware import run_replay

    return run_replay(log)


@hardware.command()
def calibrate(
    points: Annotated[
        Path,
        typer.Argument(help="JSON file: mocap and robot, lists of the same touched points in either frame, x, y, z."),
    ],
    settings: Settings = None,
    output: Annotated[Path, typer.Option(help="Settings with the new registration.")] = Path("settings.json"),
    largest_residual: Annotated[float, typer.Option(help="That is accepted, root mean square [mm].", min=0.0)] = 5.0,
    json_output: JsonOutput = False,
) -> Report:
    """Register motion capture to the robot from touched points, and write settings that say so."""
    from trajopt_sgp.cli.jobs.hardware import run_calibrate

    return run_calibrate(points, settings, output, largest_residual)


@hardware.command()
def faults(
    only: Annotated[list[str] | None, typer.Option(help="Faults to inject; repeatable.  [default: all]")] = None,
    settings: Settings = None,
    folder: RunFolder = Path("runs/hardware/faults"),
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Inject faults into the real processes and judge the stream of commands; about ten seconds for each."""
    from trajopt_sgp.cli.jobs.hardware import run_faults

    return run_faults(only, settings, folder, seed)


@hardware.command(epilog=TELEOP)
def teleop(
    settings: Settings = None,
    log: Annotated[
        Path | None,
        typer.Option(
            help="Event log of the run, for to-dataset and replay; a new file.  "
            "[default: runs/hardware/teleop.lcmlog, an older one being kept as teleop-1.lcmlog]"
        ),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Move the simulated arm in this process, without LCM.")
    ] = False,
    joystick: Annotated[
        Path | None, typer.Option(help="Device of a joystick, such as /dev/input/js0.  [default: keys]")
    ] = None,
    speed: Annotated[float, typer.Option(help="Of the pusher [m/s].", min=0.001)] = 0.1,
    json_output: JsonOutput = False,
) -> Report:
    """Move the pusher by hand, through the safety filter, and log it. Neither tracker nor planner may run.

    The terminal's keys, or the first two axes and two buttons of a joystick (stop, end).
    """
    from trajopt_sgp.cli.jobs.teleop import run_teleop

    return run_teleop(settings, log, simulated, joystick, speed)


@hardware.command(context_settings={"ignore_unknown_options": True})  # numbers may be negative
def move_to_start(
    x: Annotated[float, typer.Argument(help="Of the pusher's tip in the robot's frame [m].")],
    y: Annotated[float, typer.Argument(help="[m]")],
    z: Annotated[float, typer.Argument(help="[m]")],
    settings: Settings = None,
    json_output: JsonOutput = False,
) -> Report:
    """Move the pusher on a straight line to where a run is to begin, through the safety filter. No tracker may run."""
    from trajopt_sgp.cli.jobs.hardware import run_move

    return run_move((x, y, z), settings)


@hardware.command()
def to_dataset(
    log: Log,
    dataset: Annotated[str, typer.Argument(help="Minari id of the dataset, namespace/name-v0.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of the same id.")] = False,
    json_output: JsonOutput = False,
) -> Report:
    """Write the transitions of a log as a Minari dataset, in the form of trajopt_sgp/PlanarPusher-v0."""
    from trajopt_sgp.cli.jobs.hardware import run_to_dataset

    return run_to_dataset(log, dataset, overwrite)
