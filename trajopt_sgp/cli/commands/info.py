"""`trajopt-sgp info`."""

from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import JsonOutput, NoSeed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp info",
    "trajopt-sgp info cartpole/random-v0",
    "trajopt-sgp info runs/cartpole/energy/model.safetensors --json",
)


def info(
    target: Annotated[
        str | None,
        typer.Argument(
            help="A model, certificate or checkpoint file, the folder of a training, or a Minari dataset id."
        ),
    ] = None,
    seed: NoSeed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Describe a file of this library or a dataset; without either, this installation.

    Models: class, sizes, dataset, normalizer, range of σ [normalised units], calibration. Certificates: dataset, bound,
    calibration. Checkpoints: model, step, settings. Datasets: spaces, transitions, hash. Installation: versions,
    devices, local datasets.
    """
    from trajopt_sgp.cli.jobs.info import run_info

    return run_info(target)
