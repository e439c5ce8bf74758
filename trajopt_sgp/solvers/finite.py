"""Refusing guesses on which a term of the program is not finite, by name and knot."""

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.derivatives.stage_term import StageTerm
from trajopt_sgp.errors import NotFiniteError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Parameters
from trajopt_sgp.solvers.base import Start


def check_finite_program(program: NonlinearProgram, start: Start, place: str = " of the guess") -> None:
    """Evaluate every term of the program at points and refuse NaN and infinity.

    Args:
        program: whose terms are evaluated.
        start: the points.
        place: what the sentence says of them, after the knot.

    Raises:
        NotFiniteError: names the first such term, its knot and, for a constraint, its row.
    """
    dtype = program.problem.dtype
    variables = torch.as_tensor(start.variables, dtype=dtype)
    with torch.no_grad():
        full = program.expand(variables, start.parameters)
        for term in (*program.costs, *program.constraints):
            _check(program, term, full, start.parameters, place)


def _check(program: NonlinearProgram, term: StageTerm, full: Tensor, parameters: Parameters, place: str) -> None:
    if term.function is None:
        return
    z = term.gather(full)
    values = term.function(z, parameters)
    bad = np.argwhere(~torch.isfinite(values).numpy())
    if not len(bad):
        return
    member, instance = (int(i) for i in bad[0][:2])
    knot = int(term.knots[instance])
    if term.rows:
        name, knot = term.row_name(instance, int(bad[0][2]))
        what = "dynamics" if term.name == "defect" else f"constraint {term.name!r}"
        where = f"The {what} in row {name}"
    else:
        where = f"The {_kind(program, term)} {term.name!r}"
    culprit = _culprit(program, term, z[member, instance], instance)
    raise NotFiniteError(f"{where} is NaN or infinite at knot {knot}{place}{culprit}.")


def _kind(program: NonlinearProgram, term: StageTerm) -> str:
    """Return what kind of cost a term is."""
    for kind in ("terminal", "trajectory"):
        if any(term.name == own.name for own in getattr(program.problem, f"{kind}_terms")):
            return f"{kind} cost"
    return "stage cost"


def _culprit(program: NonlinearProgram, term: StageTerm, z: Tensor, instance: int) -> str:
    """Return which variable of the instance is not finite itself, or what all of them are."""
    names = [_short(program.full_name(int(place))) for place in term.index[instance]]
    values = z.to(torch.float64).tolist()
    for name, value in zip(names, values, strict=True):
        if not np.isfinite(value):
            return f", because {name} is {value}"
    listed = ", ".join(f"{name} = {value:.4g}" for name, value in zip(names, values, strict=True))
    return f", where {listed}"


def _short(name: str) -> str:
    return name.partition(" at knot ")[0]
