"""`trajopt-sgp study`."""

from pathlib import Path
from typing import Annotated

import typer

from trajopt_sgp.cli.parameters import JsonOutput, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp study --list",
    "trajopt-sgp study score-dimension --reduced",
    "trajopt-sgp study score-dimension --workers 4",
    "trajopt-sgp study pixels --restore --only guided",
    "trajopt-sgp study score-dimension --ray-address local --workers 2",
)


def study(
    name: Annotated[str | None, typer.Argument(help="Which study; --list shows them.", show_default=False)] = None,
    list_studies: Annotated[
        bool, typer.Option("--list", help="List the studies and their cells; run nothing.")
    ] = False,
    reduced: Annotated[bool, typer.Option("--reduced", help="A version of seconds, to see that all works.")] = False,
    only: Annotated[
        str | None, typer.Option(help="Compute only cells with this in their label, and what they need.")
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="First take over finished cells from the results in --output.")
    ] = False,
    publish_only: Annotated[
        bool, typer.Option("--publish-only", help="Compute nothing; write the page from the cells there are.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Cells at a time; 0: in this process, for debugging.", min=0)] = 2,
    ray_address: Annotated[
        str | None, typer.Option(help='Compute on Ray at this address; "local" starts one.  [default: processes]')
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Keeps finished cells, from which a run goes on.  [default: runs/studies/NAME]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Receives page, results and figures.  [default: docs/studies/NAME, or FOLDER/page]"),
    ] = None,
    json_output: JsonOutput = False,
) -> Report | int:
    """Run a study, or go on with it: cells that are finished are not computed again.

    The page is made of all cells that have been computed, whichever were chosen. One with all cells finished goes to
    docs/studies/NAME; one that is partial, reduced, or has fewer cells than are published there, to page/ in the folder
    of the run.

    Ctrl-C and kills lose nothing but the cells under way. The exit code is 1 if a cell failed.
    """
    arguments = locals()
    from trajopt_sgp.cli.jobs.study import StudyRequest, run_study

    return run_study(StudyRequest(**arguments))
