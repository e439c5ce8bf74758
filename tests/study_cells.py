"""Cells for tests of the runner: they count their executions in a file, wait, fail or end their worker."""

import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trajopt_sgp.studies.runner import CellContext

Settings = Mapping[str, Any]


def count(settings: Settings) -> None:
    """Add a line to the file of executions."""
    with Path(settings["executions"]).open("a") as file:
        file.write(f"{settings['number']}\n")


def draw(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Numbers from a seed, in NumPy and torch, and a file beside them."""
    rng = np.random.default_rng(settings["seed"])
    matrix = torch.randn(60, 60, generator=torch.Generator().manual_seed(settings["seed"]))
    (context.folder / "note.txt").write_text(str(settings["seed"]))
    return {"normal": rng.normal(size=3), "eigenvalue": float(torch.linalg.eigvalsh(matrix @ matrix.T)[-1])}


def combine(settings: Settings, context: CellContext) -> dict[str, Any]:
    """The sum of what two other cells drew, and what they left in files."""
    notes = {role: (given.folder / "note.txt").read_text() for role, given in context.inputs.items()}
    return {"sum": sum(given.result["eigenvalue"] for given in context.inputs.values()), "notes": notes}


def double(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Twice the number of the cell that it needs."""
    return {"number": 2 * context.inputs["tuned"].result["number"]}


def count_and_wait(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Count, leave the id of the process, wait, return the number."""
    count(settings)
    with Path(settings["executions"]).with_name("workers").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(settings["seconds"])
    return {"number": settings["number"]}


def die_at_first(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Kill the own process, as the kernel does when memory runs out, unless it happened before."""
    count(settings)
    mark = context.folder / "was-here"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": settings["number"]}


def die_always(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Kill the own process."""
    count(settings)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def fail(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Raise an error."""
    raise ArithmeticError("no such number")


def not_plain(settings: Settings, context: CellContext) -> dict[str, Any]:
    """Return what JSON does not know."""
    return {"generator": random.Random(0)}


def forget(settings: Settings, context: CellContext) -> Any:
    """Return nothing, as where a return was forgotten."""
