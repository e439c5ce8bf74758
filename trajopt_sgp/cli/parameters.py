"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

FormulationName = Literal["single-shooting", "multiple-shooting", "direct-transcription"]
SolverName = Literal["gradient-descent", "lbfgs", "ipopt", "fatrop", "sqp", "ddp", "scipy", "cem", "mppi"]

JsonOutput = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")
]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers; the same seed gives the same result.", min=0)]
# accepted as everywhere else, so that one script can give a seed to every command
NoSeed = Annotated[int, typer.Option("--seed", hidden=True, min=0)]
Folder = Annotated[Path, typer.Option(help="Folder of the run: results and config.json; made if missing.")]
DynamicsFile = Annotated[Path, typer.Option("--dynamics", help="Dynamics: model file, or folder it was trained in.")]
ScoreFile = Annotated[
    Path | None, typer.Option("--score", help="Score network that measures the distance to data: file or folder.")
]
EnergyFile = Annotated[
    Path | None, typer.Option("--energy", help="Energy network that measures the distance to data: file or folder.")
]
LearnedDistanceFile = Annotated[
    Path | None,
    typer.Option("--learned-distance", help="Network that has learned the distance: file or folder."),
]
EnsembleFile = Annotated[
    Path | None, typer.Option("--ensemble", help="Ensemble whose disagreement stands for the distance: file or folder.")
]
ExactDataset = Annotated[
    str | None, typer.Option("--exact", help="Minari id of the dataset to which the distance is taken in closed form.")
]
CertificateFile = Annotated[
    Path | None,
    typer.Option("--certificate", help="Certificate of the error of these dynamics, a file of save_certificate."),
]
SolverOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="A setting of the solver, as key=value; repeatable. A wrong key lists all."),
]


def examples(*lines: str) -> str:
    """Return the last paragraph of a help text."""
    # the leading line break keeps the indentation, which is what makes it code
    return "\nExamples:\n\n" + "\n".join(f"    {line}" for line in lines)
