"""The cells of the grid: every problem of the zoo with every pair of formulation and solver that is meant for it."""

import importlib.util
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.zoo import NAMES, SCORE_NAMES, ZOO, KnownProblem, known
from trajopt_sgp.errors import TrajoptError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    OrthogonalCollocation,
    ScoreTranscription,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.problem import Solution, Status
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.mesh import refine_mesh
from trajopt_sgp.solvers.solve import solve

FORMULATIONS: dict[str, Formulation] = {
    "SingleShooting": SingleShooting(),
    "MultipleShooting": MultipleShooting(2),
    "DirectTranscription": DirectTranscription(),
    "Trapezoidal": TrapezoidalCollocation(),
    "HermiteSimpson": HermiteSimpson(),
    "Radau 3": OrthogonalCollocation(3, "radau"),
    "Legendre 3": OrthogonalCollocation(3, "legendre"),
    "ScoreTranscription": ScoreTranscription(),
}
REFUSED = "refused"
GOOD = tuple(status.label for status in Status if status.ok)
HELD = ("SingleShooting", "MultipleShooting", "DirectTranscription")


@dataclass(frozen=True)
class Choice:
    """A solver of the grid."""

    module: str
    """Where it is, below `trajopt_sgp.solvers`."""
    kind: str
    """`NLP`, `first-order` or `sampling`: what decides about formulations, problems and the error allowed."""
    options: dict[str, Any]
    """Settings that differ from the defaults."""


SOLVERS: dict[str, Choice] = {
    "Ipopt": Choice("ipopt", "NLP", {"tolerance": 1e-9}),
    "Fatrop": Choice("fatrop", "NLP", {}),
    "SQP": Choice("sqp", "NLP", {}),
    "DDP": Choice("ddp", "NLP", {}),
    "Scipy": Choice("scipy", "NLP", {}),
    "LBFGS": Choice("lbfgs", "first-order", {"max_iterations": 6000}),
    "GradientDescent": Choice("gradient_descent", "first-order", {"iterations": 2000, "step_size": 0.05}),
    "CEM": Choice("cem", "sampling", {"iterations": 1500, "noise_exponent": 0.0, "final_spread": 0.001, "elites": 10}),
    "MPPI": Choice(
        "mppi", "sampling", {"iterations": 500, "noise_exponent": 0.0, "final_spread": 0.005, "temperature": 0.05}
    ),
}
ALLOWED_ERROR = {"NLP": 1e-4, "first-order": 2e-2, "sampling": 5e-2}
"""Of the objective, relative to the known optimum."""
ALLOWED_VIOLATION = {"NLP": 1e-6, "first-order": 2e-3, "sampling": 1e-6}
"""Of bounds, constraints and dynamics, in their units."""
MESH_TOLERANCE, COST_TOLERANCE, MAX_KNOTS = 1e-5, 1.5e-4, 800


@dataclass(frozen=True, order=True)
class Cell:
    """A problem, a formulation and a solver, by name."""

    problem: str
    formulation: str
    solver: str

    @property
    def slug(self) -> str:
        """Name of the cell's file."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.problem} {self.formulation} {self.solver}".lower()).strip("-")


@dataclass(frozen=True)
class Result:
    """What a cell gave; numbers are None where it was refused."""

    cell: Cell
    status: str
    remark: str
    objective: float | None = None
    error: float | None = None
    violation: float | None = None
    mesh_error: float | None = None
    horizon: int | None = None
    iterations: int | None = None
    build: float | None = None
    derivatives: float | None = None
    solver: float | None = None
    total: float | None = None

    @property
    def meets(self) -> bool | None:
        """Whether the objective is as near to the optimum as it must be, without violations; None where refused.

        An NLP solver must also have ended as it should: a good iterate at a time limit is not enough.
        """
        kind = SOLVERS[self.cell.solver].kind
        if self.status in (REFUSED, "missing"):
            return None
        if self.error is None or self.violation is None or (kind == "NLP" and self.status not in GOOD):
            return False
        return self.error <= ALLOWED_ERROR[kind] and self.violation <= ALLOWED_VIOLATION[kind]


def find_solver(name: str) -> Solver | None:
    """Return a solver with the settings of the grid, None where this version of the package has none of that name."""
    choice = SOLVERS[name]
    if importlib.util.find_spec(f"trajopt_sgp.solvers.{choice.module}") is None:
        return None
    module = importlib.import_module(f"trajopt_sgp.solvers.{choice.module}")
    solver: Solver = getattr(module, name)(**choice.options)
    return solver


def all_cells() -> Iterator[Cell]:
    """Return every cell, NLP solvers first."""
    equalities = {problem.name: problem.terminal_equalities for problem in ZOO}
    for solver, choice in SOLVERS.items():
        if importlib.util.find_spec(f"trajopt_sgp.solvers.{choice.module}") is None:
            continue
        for formulation in FORMULATIONS:
            for problem in NAMES:
                if (formulation == "ScoreTranscription") != (problem in SCORE_NAMES):
                    continue
                if problem in SCORE_NAMES:
                    if choice.kind != "sampling":
                        yield Cell(problem, formulation, solver)
                    continue
                held_only = choice.kind != "NLP" or problem not in equalities
                if held_only and formulation not in HELD:
                    continue
                if choice.kind == "sampling" and (formulation != HELD[0] or equalities.get(problem, False)):
                    continue
                yield Cell(problem, formulation, solver)


def run_cell(cell: Cell, time_limit: float) -> Result:
    """Solve a cell: on the mesh that refinement chooses for NLP solvers, else on the coarse mesh of the problem."""
    solver, record = find_solver(cell.solver), known(cell.problem)
    if solver is None:
        return Result(cell, "missing", "this version of the package has no such solver")
    begin = time.perf_counter()
    try:
        solutions, remark = _solve(cell, record, solver, time_limit)
    except TrajoptError as error:
        return Result(cell, REFUSED, str(error))
    except RuntimeError as error:  # of CasADi or torch: one broken cell must not end the run
        return Result(cell, "raised", str(error).strip().splitlines()[-1])
    return _result(cell, record, solutions, remark, time.perf_counter() - begin)


def _solve(cell: Cell, record: KnownProblem, solver: Solver, time_limit: float) -> tuple[list[Solution], str]:
    problem, formulation = record.problem(), FORMULATIONS[cell.formulation]
    guess = record.guess(problem)
    if SOLVERS[cell.solver].kind != "NLP" or not record.continuous:
        return [solve(problem, formulation, solver, guess, time_limit=time_limit)], ""
    scale = abs(record.optimum - record.origin) / abs(record.optimum)
    refined = refine_mesh(
        problem,
        formulation,
        solver,
        guess,
        tolerance=MESH_TOLERANCE,
        cost_tolerance=COST_TOLERANCE * scale,
        max_knots=MAX_KNOTS,
        max_rounds=8,
        time_limit=time_limit,
    )
    return list(refined.solutions), "" if refined.converged else refined.reason


def _result(cell: Cell, record: KnownProblem, solutions: list[Solution], remark: str, total: float) -> Result:
    last = solutions[-1]
    seconds = {
        name: sum(solution.seconds.get(name, 0.0) for solution in solutions)
        for name in ("build", "derivatives", "solver")
    }
    return Result(
        cell=cell,
        status=last.status.label,
        remark=remark,
        objective=last.cost,
        error=record.relative_error(last.cost),
        violation=last.max_violation,
        mesh_error=float(last.mesh_error.max()),
        horizon=last.trajectory.horizon,
        iterations=sum(solution.iterations for solution in solutions),
        total=total,
        **seconds,
    )


def load(cell: Cell, folder: Path) -> Result | None:
    """Return the stored result of a cell, None where there is none."""
    file = folder / f"{cell.slug}.json"
    if not file.exists():
        return None
    values = json.loads(file.read_text())
    return Result(**{**values, "cell": Cell(**values["cell"])})


def store(result: Result, folder: Path) -> None:
    """Write the result of a cell, so that a run that is stopped can go on from there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    file = folder / f"{result.cell.slug}.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(result), indent=1) + "\n")
    part.replace(file)
