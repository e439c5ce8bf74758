"""`trajopt-sgp mpc`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from trajopt_sgp.cli.parameters import (
    DynamicsFile,
    EnergyFile,
    EnsembleFile,
    ExactDataset,
    Folder,
    JsonOutput,
    LearnedDistanceFile,
    ScoreFile,
    Seed,
    SolverOptions,
    examples,
)
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp mpc --dynamics runs/cartpole/dynamics --energy runs/cartpole/energy",
    "trajopt-sgp mpc --dynamics runs/cartpole/dynamics --energy runs/cartpole/energy --episodes 20 --time-limit 0.05",
    "trajopt-sgp mpc --dynamics runs/cartpole/dynamics --energy runs/cartpole/energy --latency 0.1 --no-compensate",
)


def mpc(
    dynamics: DynamicsFile,
    score: ScoreFile = None,
    energy: EnergyFile = None,
    learned_distance: LearnedDistanceFile = None,
    ensemble: EnsembleFile = None,
    exact: ExactDataset = None,
    episodes: Annotated[int, typer.Option(help="Episodes, each from a random hanging state.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of an episode [s].")] = 10.0,
    horizon: Annotated[int, typer.Option(help="Intervals of 0.05 s that are planned ahead.")] = 40,
    beta: Annotated[
        float | None, typer.Option(help="β, weight of the distance to data with weighting σ².  [default: 0.1]")
    ] = None,
    sigma: Annotated[float, typer.Option(help="σ, in normalised units.")] = 0.1,
    tracking: Annotated[float, typer.Option(help="Weight of the distance from upright at every knot.")] = 0.05,
    effort: Annotated[float, typer.Option(help="Weight of (force / 80 N)² at every knot.")] = 1e-3,
    time_limit: Annotated[float | None, typer.Option(help="Wall time of one step [s].  [default: none]")] = None,
    fallback: Annotated[
        Literal["shift", "hold"],
        typer.Option(help="When a solve fails: go on with the last plan, or hold the last force."),
    ] = "shift",
    latency: Annotated[
        float, typer.Option(help="Time from a measurement to the effect of the force that answers it [s].")
    ] = 0.0,
    compensate: Annotated[bool, typer.Option(help="Plan from where the system will be after the latency.")] = True,
    option: SolverOptions = None,
    plots: Annotated[bool, typer.Option(help="Draw mpc.png.")] = True,
    folder: Folder = Path("runs/mpc"),
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Control the cart-pole environment by solving the swing-up anew in every step.

    Direct transcription with Ipopt. An episode succeeds when over its last two seconds the pole stays within 0.2 rad of
    upright and the cart within 1 m of the origin.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.mpc import MpcRequest, run_mpc

    return run_mpc(MpcRequest(**arguments))
