"""`trajopt-sgp import`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import Folder, JsonOutput, NoSeed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp import log.csv --dataset lab/arm-v0 --states q1,q2,dq1,dq2 --controls tau1,tau2 --time t",
    "trajopt-sgp import logs/*.npz --dataset lab/arm-v0 --states position,velocity --controls force",
    "trajopt-sgp import trials.csv --dataset lab/arm-v0 --states 'q*,dq*' --controls 'tau*' --time t --run trial \\",
    "    --control-bounds -5,-2 5,2",
    "trajopt-sgp import drive.csv --dataset lab/rover-v0 --states x,y,yaw,v --controls gas,steer --time t --angles yaw",
)


def import_recordings(
    files: Annotated[list[Path], typer.Argument(help="Tables (.csv, .tsv, .txt) or arrays (.npz), one run each.")],
    dataset: Annotated[str, typer.Option(help="Minari id of the dataset to write, namespace/name-v0.")],
    states: Annotated[
        str, typer.Option(help="Columns or arrays of the state, separated by commas; patterns such as q* too.")
    ],
    controls: Annotated[str, typer.Option(help="Columns or arrays of the control, alike.")],
    control_bounds: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Bounds of the control, kept with the data: two numbers, or for each control one, separated by "
            "commas.  [default: none]",
        ),
    ] = None,
    time: Annotated[str | None, typer.Option(help="Column or array of the times [s].")] = None,
    run: Annotated[
        str | None, typer.Option(help="Column or array by whose value runs in a file are told apart.")
    ] = None,
    time_step: Annotated[
        float | None, typer.Option(help="Time from a sample to the next [s].", show_default="the median")
    ] = None,
    jitter: Annotated[
        float, typer.Option(help="Share of it by which a time step may differ before it is a gap.")
    ] = 0.2,
    angles: Annotated[
        str | None, typer.Option(help="States that are wrapped angles, separated by commas, to be unwrapped; q* too.")
    ] = None,
    turn: Annotated[
        float, typer.Option(help="A full turn in their unit, 360 for degrees.", show_default="2π")
    ] = math.tau,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Let samples with missing values make a gap.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of the same id.")] = False,
    folder: Folder = Path("runs/import"),
    seed: NoSeed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Make a Minari dataset of a robot's recordings.

    Each sample and the next make a transition, where they are one time step apart: a gap begins another episode. The
    control of a sample is the one that acts until the next.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.import_recordings import ImportRequest, run_import

    return run_import(ImportRequest(**arguments))
