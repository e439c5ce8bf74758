"""`trajopt-sgp compare`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from trajopt_sgp.cli.parameters import Folder, JsonOutput, Seed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp compare bryson-denham",
    "trajopt-sgp compare cart-pole-swing-up --formulations hermite-simpson,multiple-shooting --refine 1e-6",
    "trajopt-sgp compare minimum-time --solvers ipopt,ipopt:hessian=limited-memory \\",
    "    --formulations orthogonal-collocation:degree=2,points=legendre,trapezoidal-collocation",
    "trajopt-sgp compare my_problem.py:make_problem --json",
    "trajopt-sgp compare my_problem.py:make_problem --plant my_robot.py:step",
)


class CompareCommand(TyperCommand):
    """The command, whose help lists what exists; it is read off the classes, and only when help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from trajopt_sgp.cli.jobs.compare import describe_choices

        self.epilog = f"{describe_choices()}\n{EXAMPLES}"
        super().format_help(ctx, formatter)


def compare(
    problem: Annotated[
        str, typer.Argument(help="A built-in problem, or file.py:function that returns an OptimalControlProblem.")
    ],
    formulations: Annotated[
        str | None,
        typer.Option(help="Names with settings, as name:key=value,key=value,name.  [default: all that fit]"),
    ] = None,
    solvers: Annotated[str, typer.Option(help="Names with settings, in the same form.")] = "ipopt",
    refine: Annotated[
        float | None, typer.Option(help="Refine each mesh until its error is below.  [default: the problem's mesh]")
    ] = None,
    guess: Annotated[
        Literal["problem", "line", "random"],
        typer.Option(
            help="Where every solve begins: at the built-in problem's own guess (else a line), on a straight line with "
            "controls in the middle of their bounds, or at random controls."
        ),
    ] = "problem",
    time_limit: Annotated[
        float | None, typer.Option(help="Wall time of each pair, after the first solve [s].  [default: none]")
    ] = None,
    plant: Annotated[
        str | None,
        typer.Option(
            help="file.py:function, a step of the plant: state and control to the next state, NumPy arrays. Every plan "
            "is also judged by what its controls do there.  [default: none]"
        ),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw pictures and write report.html.")] = True,
    folder: Folder = Path("runs/compare"),
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Solve one problem in every way and compare: cost, errors, iterations, time.

    Every formulation is paired with every solver. A pair that does not apply says why and the others go on. Times are
    those of a second solve: a first one, ended at once, loads what is compiled. Exit codes: 0, a pair succeeded; 1,
    none did, or the request makes no sense; 2, the command line cannot be read; 130, interrupted.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.compare import CompareRequest, run_compare

    return run_compare(CompareRequest(**arguments))
