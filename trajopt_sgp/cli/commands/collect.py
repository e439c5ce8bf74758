"""`trajopt-sgp collect`."""

from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import Folder, JsonOutput, Seed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp collect",
    "trajopt-sgp collect --transitions 50000 --dataset cartpole/large-v0",
    "trajopt-sgp collect --environment trajopt_sgp/PlanarPusher-v0",
    "trajopt-sgp collect --seed 1 --overwrite --json",
)


def collect(
    transitions: Annotated[
        int | None, typer.Option(help="Number of transitions.", show_default="10,000; pushers 2,000")
    ] = None,
    episode_steps: Annotated[
        int | None, typer.Option(help="Largest number of steps of an episode.", show_default="10; pushers 50")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Minari id of the dataset, namespace/name-v0.",
            show_default="cartpole/random-v0, pusher/demonstrations-v0, pusher/arm-demonstrations-v0",
        ),
    ] = None,
    environment: Annotated[
        str, typer.Option(help="Gymnasium id; module:id imports a module that registers it.")
    ] = "trajopt_sgp/CartPoleSwingUp-v0",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of the same id.")] = False,
    folder: Folder = Path("runs/collect"),
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Step an environment and write a Minari dataset.

    Actions are random, episodes start uniformly in the environment's data box and end where they leave it; pushers are
    shown scripted demonstrations instead. The dataset goes to Minari's root:
    `MINARI_DATASETS_PATH`, else `~/.minari/datasets`.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.collect import CollectRequest, run_collect

    return run_collect(CollectRequest(**arguments))
