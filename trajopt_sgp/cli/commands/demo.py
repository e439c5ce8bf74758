"""`trajopt-sgp demo`."""

from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import JsonOutput, Seed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp demo",
    "trajopt-sgp demo --seed 1 --folder runs/demo-1",
    "trajopt-sgp demo --full",
    "trajopt-sgp demo pixels",
)


def demo(
    what: Annotated[
        str, typer.Argument(help="cart-pole: everything from scratch; pixels: a plan of 15,360 variables.")
    ] = "cart-pole",
    full: Annotated[
        bool, typer.Option("--full", help="Three training seeds, all guesses and 20 episodes; much longer.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the run; default runs/demo, or runs/demo-pixels for pixels.")
    ] = None,
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Collect, train, plan and control, from scratch, and write a report with pictures.

    Writes summary.json, report.html, models, plots and an animation to the folder. Takes some minutes on two cores.
    `demo pixels` plans with the weights that ship, guided, unguided and without dynamics, and writes film strips and
    animations.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.demo import DemoRequest, run_demo_job

    return run_demo_job(DemoRequest(**arguments))
