"""One problem solved in every way: formulations times solvers, and what each cell is worth."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trajopt_sgp.errors import IncompatibleError, TrajoptError
from trajopt_sgp.formulations import Formulation, MultipleShooting, PolicySearch
from trajopt_sgp.problem import OptimalControlProblem, Solution, Status, Trajectory
from trajopt_sgp.problem.dynamics import is_continuous
from trajopt_sgp.problem.solution import Plant
from trajopt_sgp.solvers import solve
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.mesh import MeshRefinement, refine_mesh
from trajopt_sgp.solvers.pairs import can_search
from trajopt_sgp.studies.compare_choices import kinds
from trajopt_sgp.studies.compare_resimulation import Resimulated, execute, resimulate

_NODES = 5
# [s], over before the first iteration is
_INSTANT = 1e-6


@dataclass(frozen=True, eq=False)
class Cell:
    """One formulation with one solver, and what came out."""

    formulation: str
    """As it was named."""
    solver: str
    """As it was named."""
    solution: Solution | None = None
    """None where the pair does not apply."""
    reason: str = ""
    """Why the pair does not apply to the problem."""
    refinement: MeshRefinement | None = None
    """Where the mesh was refined; its last solution is the one shown."""
    resimulated: Resimulated | None = None
    """What the controls do in an accurate integration; None without dynamics."""
    executed: Resimulated | None = None
    """What the controls do in a plant, where one was given."""
    warm_up: float = 0.0
    """Wall time of a first solve, ended at once, which loads or compiles what later ones find ready [s]."""

    @property
    def label(self) -> str:
        """Name for pictures."""
        return f"{self.formulation}, {self.solver}"

    def row(self, optimum: float | None = None) -> dict[str, Any]:
        """Return what the cell is worth as plain values; `relative_error` is that of the cost to a known optimum."""
        row: dict[str, Any] = {"formulation": self.formulation, "solver": self.solver}
        if self.solution is None:
            return {**row, "status": "does not apply", "reason": self.reason}
        return {
            **row,
            "status": self.solution.status.label.replace("_", " "),
            "reason": "" if self.refinement is None else self.refinement.reason,
            **_quality(self.solution, self.resimulated, optimum),
            **({} if self.executed is None else _in_plant(self.executed)),
            **_effort(self.solution, self.refinement),
            "warm_up_seconds": self.warm_up,
        }


def compare(
    problem: OptimalControlProblem,
    formulations: Mapping[str, Formulation],
    solvers: Mapping[str, Solver],
    guess: Trajectory | None = None,
    *,
    refine: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    progress: Callable[[int, str], None] | None = None,
    plant: Plant | None = None,
) -> list[Cell]:
    """Solve a problem with every formulation and every solver; what does not apply says why.

    Every pair solves twice: a first solve is ended at once and counts apart, so that times do not depend on the order.

    Args:
        problem: what to solve.
        formulations: by name.
        solvers: by name.
        guess: where every solve begins; random controls within their bounds if not given.
        refine: largest mesh error of any interval, to which meshes are refined; None for the mesh of the problem.
        time_limit: wall time of each cell after its first solve [s].
        seed: of random guesses, the same in every cell.
        progress: called with the number of cells done, and the name of the next.
        plant: a step of what the plans are for, a function of NumPy arrays as `Solution.resimulate` takes it; every
            plan is also judged by what its controls do there.

    Returns:
        One cell for each pair, formulation by formulation; fewer if Ctrl-C was pressed.

    Raises:
        IncompatibleError: `refine` for a problem in discrete time, or a plant where intervals are not of one length.
    """
    if plant is not None and (refine is not None or problem.grid.free or not problem.grid.uniform):
        raise IncompatibleError(
            "A plant advances by one time step: it judges plans of fixed duration on equal intervals, without refine."
        )
    if refine is not None and not is_continuous(problem.dynamics):
        raise IncompatibleError("A mesh can be refined for ContinuousDynamics only; this problem has a time step.")
    cells: list[Cell] = []
    for form, formulation in formulations.items():
        for name, solver in solvers.items():
            if progress is not None:
                progress(len(cells), f"{form}, {name}")
            run = _Run(problem, formulation, solver, guess, refine, time_limit, seed, plant)
            cells.append(run.cell(form, name))
            last = cells[-1].solution
            if last is not None and last.status is Status.INTERRUPTED:
                return cells
    return cells


def suitable_formulations(problem: OptimalControlProblem) -> dict[str, Formulation]:
    """Return every formulation of this library that can transcribe a problem, with default settings, by name.

    Multiple shooting has the longest segments, up to five intervals, that divide the horizon. Policy search, which by
    default is single shooting, is left out.
    """
    steps = max(k for k in range(1, _NODES + 1) if problem.horizon % k == 0)
    found: dict[str, Formulation] = {}
    for name, kind in kinds(Formulation).items():  # type: ignore[type-abstract]
        if kind is PolicySearch:
            continue
        formulation = MultipleShooting(steps) if kind is MultipleShooting else kind()
        label = f"{name}:steps_per_interval={steps}" if kind is MultipleShooting and steps != _NODES else name
        try:
            formulation.transcribe(problem.to(torch.float64), needs_value=True)
        except IncompatibleError:
            continue
        found[label] = formulation
    return found


@dataclass(frozen=True, eq=False)
class _Run:
    problem: OptimalControlProblem
    formulation: Formulation
    solver: Solver
    guess: Trajectory | None
    refine: float | None
    time_limit: float | None
    seed: int
    plant: Plant | None

    def cell(self, form: str, name: str) -> Cell:
        """Solve; a user error becomes the reason why the pair does not apply."""
        if not can_search(self.formulation, self.solver):
            reason = f"{self.solver.name} searches controls alone and needs a formulation that rolls the model out."
            return Cell(form, name, reason=reason)
        try:
            begin = time.perf_counter()
            first = self._solve(_INSTANT)
            warm_up = time.perf_counter() - begin
            if first.status is Status.INTERRUPTED:
                return Cell(form, name, first, warm_up=warm_up)
            refinement = self._refine()
            solution = self._solve(self.time_limit) if refinement is None else refinement.solution
        except TrajoptError as error:
            return Cell(form, name, reason=str(error))
        executed = None if self.plant is None else execute(solution, self.plant)
        return Cell(form, name, solution, "", refinement, resimulate(solution), executed, warm_up)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def _solve(self, time_limit: float | None) -> Solution:
        return solve(
            self.problem,
            self.formulation,
            self.solver,
            self.guess,
            time_limit=time_limit,
            generator=self._generator(),
        )

    def _refine(self) -> MeshRefinement | None:
        if self.refine is None:
            return None
        return refine_mesh(
            self.problem,
            self.formulation,
            self.solver,
            self.guess,
            tolerance=self.refine,
            time_limit=self.time_limit,
            generator=self._generator(),
        )


def _quality(solution: Solution, resimulated: Resimulated | None, optimum: float | None) -> dict[str, Any]:
    cost, defects = solution.cost, np.abs(solution.defects)
    error = None if optimum is None else abs(cost - optimum) / max(abs(optimum), 1e-12)
    mesh = solution.mesh_error if is_continuous(solution.problem.dynamics) else None
    return {
        "cost": cost,
        "relative_error": error,
        "defect": float(np.nan_to_num(defects, nan=np.inf).max(initial=0.0)),
        "violation": solution.max_violation,
        "resimulated_gap": None if resimulated is None else resimulated.final_gap,
        "resimulated_cost": None if resimulated is None else resimulated.cost,
        "mesh_error": None if mesh is None else float(mesh.max()),
        "kkt_residual": kkt_residual(solution),
    }


def _in_plant(executed: Resimulated) -> dict[str, float]:
    return {"plant_gap": executed.final_gap, "plant_cost": executed.cost}


def kkt_residual(solution: Solution) -> float | None:
    """Return the residual of the optimality conditions relative to the largest multiplier, or to 1 if that is smaller.

    None where the solver gives no multipliers, or works in single precision.
    """
    if not solution.multipliers or solution.variables.dtype != np.float64 or _single(solution):
        return None
    residual = solution.kkt_residual()
    value = residual.largest / max(1.0, residual.multiplier_norm)
    return value if math.isfinite(value) else math.inf


def _single(solution: Solution) -> bool:
    return solution.parameters.initial_state.dtype != torch.float64


def _effort(solution: Solution, refinement: MeshRefinement | None) -> dict[str, Any]:
    rounds = [solution] if refinement is None else list(refinement.solutions)
    seconds = {
        kind: sum(float(one.seconds.get(kind, 0.0)) for one in rounds)
        for kind in ("build", "derivatives", "solver", "total")
    }
    return {
        "intervals": solution.trajectory.horizon,
        "variables": len(solution.variables),
        "iterations": sum(one.iterations for one in rounds),
        **{f"{kind}_seconds": value for kind, value in seconds.items()},
    }
