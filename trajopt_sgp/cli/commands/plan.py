"""`trajopt-sgp plan`."""

from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import (
    CertificateFile,
    DynamicsFile,
    EnergyFile,
    EnsembleFile,
    ExactDataset,
    Folder,
    FormulationName,
    JsonOutput,
    LearnedDistanceFile,
    ScoreFile,
    Seed,
    SolverName,
    SolverOptions,
    examples,
)
from trajopt_sgp.cli.presets import default_note
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp plan --dynamics runs/cartpole/dynamics --score runs/cartpole/score",
    "trajopt-sgp plan --dynamics runs/cartpole/dynamics",
    "trajopt-sgp plan --dynamics runs/cartpole/dynamics --exact cartpole/random-v0",
    "trajopt-sgp plan --dynamics runs/cartpole/dynamics --energy runs/cartpole/energy \\",
    "    --solver ipopt --starts 4 --option tolerance=1e-6 --option options.mu_strategy=adaptive",
)
_GUIDANCE = "Guidance"


def plan(
    dynamics: DynamicsFile,
    score: ScoreFile = None,
    energy: EnergyFile = None,
    learned_distance: LearnedDistanceFile = None,
    ensemble: EnsembleFile = None,
    exact: ExactDataset = None,
    certificate: CertificateFile = None,
    formulation: Annotated[
        FormulationName | None, typer.Option(help="By default the one that suits the solver.")
    ] = None,
    solver: Annotated[SolverName, typer.Option(help="How the problem is solved.")] = "gradient-descent",
    beta: Annotated[
        float | None,
        typer.Option(
            help="β, weight of the distance to data with weighting σ²; 0: unguided." + default_note("beta"),
            rich_help_panel=_GUIDANCE,
        ),
    ] = None,
    sigma_start: Annotated[
        float | None,
        typer.Option(
            help="σ at the start, in normalised units." + default_note("sigma_start"), rich_help_panel=_GUIDANCE
        ),
    ] = None,
    sigma_stop: Annotated[
        float | None,
        typer.Option(help="σ at the end, normalised." + default_note("sigma_stop"), rich_help_panel=_GUIDANCE),
    ] = None,
    effort: Annotated[
        float | None, typer.Option(help="Weight of (force / 80 N)² at every knot." + default_note("effort"))
    ] = None,
    limits: Annotated[bool, typer.Option(help="Tell the planner that the motor ends at ±80 N; it always does.")] = True,
    starts: Annotated[
        int | None, typer.Option(help="Random guesses; the best plan is kept." + default_note("starts"))
    ] = None,
    horizon: Annotated[int, typer.Option(help="Number of intervals of 0.05 s.")] = 60,
    time_limit: Annotated[float | None, typer.Option(help="Wall time of the solve [s].  [default: none]")] = None,
    option: SolverOptions = None,
    plots: Annotated[bool, typer.Option(help="Draw plan.png, distance.png and cost.png.")] = True,
    folder: Folder = Path("runs/plan"),
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Plan the cart-pole's swing-up over a learned model and judge the plan on the true system.

    The pole hangs at rest and shall stand after the horizon: terminal cost p² + (θ-π)² + 0.1ṗ² + 0.1θ̇², force within
    ±80 N. With a score, an energy network or another distance the plan is held to the data. Every plan's forces are
    then applied to the true equations; a true cost below 0.1 is a success. With a certificate the report says how wrong
    the model may be along the plan, beside how wrong it was.

    Exit codes: 0, planning ran, whether it succeeded or not; 1, the request makes no sense; 2, the command line cannot
    be read; 130, interrupted. One Ctrl-C ends the search: the best plan so far is judged and written; a second ends
    everything at once.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.plan import PlanRequest, run_plan

    return run_plan(PlanRequest(**arguments))
