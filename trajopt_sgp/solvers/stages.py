"""Programs that are chains of stages, for solvers whose linear algebra follows them."""

from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.solvers.nlpsol import Order


class Structure(Order):
    """Rows knot by knot: the gap x' - f(x, u) = 0 to the next knot, then the constraints of this one.

    Args:
        program: with variables x_0, u_0, x_1, ..., x_N.
        solver: what needs it, for messages.

    Raises:
        IncompatibleError: it has other variables, or a term that joins several knots.
    """

    def __init__(self, program: NonlinearProgram, solver: str) -> None:
        problem, assembly = program.problem, program.assembly
        self.horizon, self.states, self.controls = problem.horizon, problem.state_size, problem.control_size
        check_stages(program, solver, "DirectTranscription")
        defects = self.horizon * self.states
        knots = [np.repeat(term.knots, term.rows) for term in program.constraints]
        knot = np.concatenate([np.zeros(0, np.int64), *knots])
        gap = np.arange(assembly.row_count) < defects
        self.sign = np.where(gap, -1.0, 1.0)
        self.sequence: IntArray = np.lexsort((np.arange(assembly.row_count), ~gap, knot))
        """Row of the program at each place."""
        self.places: IntArray = np.argsort(self.sequence)
        """Place of each row of the program."""
        self.counts = np.bincount(knot[~gap], minlength=self.horizon + 1)

    def options(self) -> dict[str, Any]:
        """Return the options by which CasADi's interfaces learn of the stages."""
        return {
            "N": self.horizon,
            "nx": [self.states] * (self.horizon + 1),
            "nu": [self.controls] * self.horizon + [0],
            "ng": self.counts.tolist(),
        }

    def rows(self, values: FloatArray) -> FloatArray:
        """Return values of rows of the program in the order of the knots, gaps with this sign."""
        staged: FloatArray = (self.sign * values)[self.sequence]
        return staged

    def own_rows(self, values: FloatArray) -> FloatArray:
        """Return values of such rows in the order and with the signs of the program."""
        own: FloatArray = self.sign * values[self.places]
        return own


def check_stages(program: NonlinearProgram, solver: str, formulation: str) -> None:
    """Refuse what is not a chain of stages.

    Args:
        program: of the formulation.
        solver: what needs it, for messages.
        formulation: name of the one that fits.

    Raises:
        IncompatibleError: names what does not fit.
    """
    fits = (
        f"{solver} solves {formulation} of problems whose costs and constraints are functions of one knot each; "
        "Ipopt() and SQP() solve any other"
    )
    block = program.problem.state_size + program.problem.control_size
    if program.name != formulation:
        raise IncompatibleError(f"{solver} does not work with {program.name}. {fits}.")
    if program.layout.duration is not None:
        raise IncompatibleError(f"{solver} does not work with a free duration, which joins all knots. {fits}.")
    if len(program.slack):
        raise IncompatibleError(f"{solver} does not work with soft constraints, whose slack is no control. {fits}.")
    if program.elimination is not None and not program.elimination.fixed_start:
        raise IncompatibleError(f"{solver} does not work with a free initial state, which is no control. {fits}.")
    if any(length > 1 for length in program.problem.move_blocks or ()):
        raise IncompatibleError(f"{solver} does not work with move_blocks, whose controls join several knots. {fits}.")
    for term in (*program.costs, *program.constraints):
        parts = [] if term.function is None else [term.index]
        if term.linear is not None and term.name != "defect":
            parts.append(term.linear.index)
        if any((part // block != term.knots[:, None]).any() for part in parts):
            raise IncompatibleError(f"{solver} does not work with {term.name!r}, which joins several knots. {fits}.")
