"""Interior-point method that follows the stages of an optimal control problem: Fatrop through CasADi."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import casadi
import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.program_derivatives import ProgramDerivatives
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_choice, check_counts, check_positive
from trajopt_sgp.problem import Parameters, Status
from trajopt_sgp.solvers.annealing import schedule, staged
from trajopt_sgp.solvers.base import Minimiser, Solver
from trajopt_sgp.solvers.casadi_callbacks import ProgramFunctions
from trajopt_sgp.solvers.nlpsol import Nlpsol, Stats, build
from trajopt_sgp.solvers.remembered import RememberedDerivatives
from trajopt_sgp.solvers.stages import Structure

_WARM_START = {"mu_init": 1e-3}


@dataclass(frozen=True)
class Fatrop(Solver):
    """Fatrop (Vanroye, Sathya, De Schutter and Decré 2023): interior points whose linear algebra is a recursion.

    It works on `DirectTranscription` of problems whose costs and constraints are functions of one knot each.
    """

    tolerance: float = 1e-8
    """Of the scaled optimality conditions in the last stage."""
    max_iterations: int = 500
    """Per stage."""
    stages: int = 4
    """Places on the schedule of an annealed distance to data; 1 solves at its end only."""
    stage_tolerance: float = 1e-3
    """Of the optimality conditions in the stages before the last."""
    hessian: Literal["exact", "gauss-newton"] = "exact"
    """Second derivatives: all of them, or those that squares of residuals and other costs give."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of Fatrop itself, for example `{"mu_init": 0.01}`."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def __post_init__(self) -> None:
        check_positive("Fatrop", tolerance=self.tolerance, stage_tolerance=self.stage_tolerance)
        check_counts("Fatrop", max_iterations=self.max_iterations, stages=self.stages)
        check_choice("Fatrop", "hessian", self.hessian, ("exact", "gauss-newton"))

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Build the CasADi solvers; nothing is rebuilt when initial state, guess or annealing change.

        Raises:
            IncompatibleError: the program does not have the structure; says what does not fit, and what does.
        """
        structure = Structure(program, self.name)
        derivatives = RememberedDerivatives(program.assembly)
        stagewise = StagewiseDerivatives(derivatives, structure)
        functions = ProgramFunctions(stagewise, self.hessian == "exact", symmetric=True, idle=stagewise.idle)
        nlp = functions.problem()
        held = [functions.objective(), functions.rows(), functions.gradient_alone(), functions.jacobian()]
        held += [functions.lagrangian(), functions.lagrangian_hessian()]
        callbacks = {
            "cache": {function.name(): function for function in held},
            "structure_detection": "manual",
            **structure.options(),
        }

        def solver(tolerance: float, begin: Mapping[str, Any]) -> casadi.Function:
            own = {"tol": tolerance, "max_iter": self.max_iterations, "print_level": 0, **self.options}
            return build("fatrop", "Fatrop", nlp, {**callbacks, "fatrop": {**begin, **own}}, own)

        stages = staged(schedule(program, self.stages), self.tolerance, self.stage_tolerance)
        return Nlpsol(
            program=program,
            derivatives=derivatives,
            functions=functions,
            stages=[(place, solver(tolerance, {})) for place, tolerance in stages],
            warm=solver(self.tolerance, _WARM_START),
            status=_claimed,
            tolerance=self.tolerance,
            order=structure,
        ).minimise


class StagewiseDerivatives:
    """What `ProgramDerivatives` offers, with the rows in the order of Fatrop."""

    def __init__(self, inner: ProgramDerivatives, structure: Structure) -> None:
        self.inner, self.structure = inner, structure
        pattern = inner.jacobian_pattern
        self.jacobian_pattern = Pattern.of(structure.places[pattern.rows], pattern.columns)
        self.hessian_pattern = inner.hessian_pattern
        next_states = pattern.columns == self._next_state(pattern)
        self._gap = (pattern.rows < structure.horizon * structure.states) & next_states

    def _next_state(self, pattern: Pattern) -> IntArray:
        """Return the variable that the gap in each row is about, if the row is one."""
        n, block = self.structure.states, self.structure.states + self.structure.controls
        states: IntArray = (pattern.rows // n + 1) * block + pattern.rows % n
        return states

    def idle(self, output: str) -> FloatArray:
        """Return the output of a program that is solved at any point; Fatrop goes on for ever where it gets NaN."""
        if output == "g":
            lower, upper = self.bounds()
            middle = np.clip(0.0, lower, upper)
            both = np.isfinite(lower) & np.isfinite(upper)
            return np.where(both, 0.5 * (np.where(both, lower, 0.0) + np.where(both, upper, 0.0)), middle)
        if output == "jac_g_x":
            return self.jacobian_pattern.assemble([self._gap.astype(np.float64)])
        if output == "hess_gamma_x_x":
            pattern = self.hessian_pattern
            twice = np.count_nonzero(pattern.rows != pattern.columns)
            return np.zeros(len(pattern.rows) + twice)
        return np.zeros({"f": 1, "grad_gamma_p": 0}.get(output, self.size))

    @property
    def size(self) -> int:
        """Number of decision variables."""
        return self.inner.size

    @property
    def row_count(self) -> int:
        """Number of constraint rows."""
        return self.inner.row_count

    def objective(self, variables: FloatArray, parameters: Parameters) -> float:
        """Return the sum of the costs."""
        return self.inner.objective(variables, parameters)

    def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
        """Return the objective and its gradient `(size,)`."""
        return self.inner.gradient(variables, parameters)

    def rows(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the rows `(row_count,)`."""
        return self.structure.rows(self.inner.rows(variables, parameters))

    def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the rows and the nonzeros of their Jacobian; the next state of a gap has the factor 1 exactly."""
        rows, values = self.inner.jacobian(variables, parameters)
        signed = np.where(self._gap, 1.0, values * self.structure.sign[self.inner.jacobian_pattern.rows])
        return self.structure.rows(rows), self.jacobian_pattern.assemble([signed])

    def hessian(
        self,
        variables: FloatArray,
        cost_factor: float,
        multipliers: FloatArray,
        parameters: Parameters,
        exact: bool = True,
    ) -> FloatArray:
        """Return the nonzeros of the Hessian of the Lagrangian, upper triangle."""
        own = self.structure.own_rows(multipliers)
        return self.inner.hessian(variables, cost_factor, own, parameters, exact)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper bounds of the rows, `(row_count,)` each."""
        lower, upper = (self.structure.rows(side) for side in self.inner.bounds())
        return np.minimum(lower, upper), np.maximum(lower, upper)

    def row_unscale(self) -> FloatArray:
        """Return the factor that turns a scaled row back into its own units."""
        return self.inner.row_unscale()[self.structure.sequence]

    def row_name(self, row: int) -> tuple[str, int]:
        """Return the name and the knot of a row."""
        return self.inner.row_name(int(self.structure.sequence[row]))


def _claimed(stats: Stats) -> Status:
    if stats["success"]:
        return Status.SOLVED
    return Status.FAILED
