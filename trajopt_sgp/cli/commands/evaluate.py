"""`trajopt-sgp evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import Folder, JsonOutput, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp train --dataset sgp/hopper-medium-v0 --preset d4rl --folder runs/hopper",
    "trajopt-sgp evaluate --trained runs/hopper",
    "trajopt-sgp evaluate --trained runs/hopper-0 --trained runs/hopper-1 --methods guided,beta=0 --episodes 10",
    "trajopt-sgp evaluate --trained runs/hopper --methods guided --beta 30 --budget 0.02 --json",
)


def evaluate(
    trained: Annotated[
        list[Path],
        typer.Option(help="Folder of `trajopt-sgp train --preset d4rl`; repeat it for other seeds of training."),
    ],
    methods: Annotated[
        str,
        typer.Option(
            help="What plays, separated by commas: guided, clone (the cloned behaviour alone), beta=0 (no penalty), "
            "exact (distance in closed form), mppi+ensemble, cem+ensemble (variance as penalty), one-setting."
        ),
    ] = "guided,clone",
    environment: Annotated[
        str | None,
        typer.Option(help="Gymnasium id, or robot or task of D4RL.  [default: the environment of the dataset]"),
    ] = None,
    episodes: Annotated[int, typer.Option(help="Episodes of each method and folder, played together.", min=1)] = 5,
    steps: Annotated[int, typer.Option(help="Longest episode.", min=1)] = 1000,
    beta: Annotated[
        float | None, typer.Option(help="β, price of the penalty, in rewards.  [default: by robot, else 100]", min=0.0)
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps planned ahead.  [default: 8]", min=1)] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Of the search per action.  [default: by method]", min=0)
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Wall time of an action of all episodes together [s].  [default: none]")
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw episodes.png.")] = True,
    folder: Folder = Path("runs/evaluate"),
    seed: Annotated[
        int, typer.Option(help="Of the first episode; those of the next folder begin 1000 later.", min=0)
    ] = 1000,
    json_output: JsonOutput = False,
) -> Report:
    """Play episodes of a planner for rewards, learned offline, in the real environment, and score them as D4RL does.

    Models are those that `trajopt-sgp train --preset d4rl` trains: ensemble, outcome, score, value and clone. Methods
    play the same episodes. With several folders of models the interval of the mean is over seeds of training, else over
    episodes. The whole comparison with peers on twelve datasets is `make d4rl`.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.evaluate import EvaluateRequest, run_evaluate

    return run_evaluate(EvaluateRequest(**arguments))
