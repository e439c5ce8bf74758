"""What is known of a problem of the zoo."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trajopt_sgp.problem import OptimalControlProblem, Trajectory


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownProblem:
    """A problem, its optimum, and how the two are compared."""

    name: str
    """Name for tables."""
    factory: Callable[..., OptimalControlProblem]
    """`factory(horizon, **changes)`."""
    optimum: float
    """Least objective."""
    source: str
    """Where the optimum comes from."""
    guess: Callable[[OptimalControlProblem], Trajectory]
    """Where solvers begin."""
    other_optima: tuple[float, ...] = ()
    """Objectives of other local optima, which a solver may as well find."""
    origin: float = 0.0
    """What is subtracted from the objective before errors are taken relative to it."""
    horizon: int = 20
    """A coarse mesh to begin with."""
    continuous: bool = True
    """Whether collocation applies."""
    terminal_equalities: bool = False
    """Whether the last state is held, so that sampling solvers do not apply."""
    free_time: bool = False
    """Whether the solver chooses the duration."""
    note: str = ""
    """What a reader of errors should know."""

    def problem(self, horizon: int | None = None, **changes: Any) -> OptimalControlProblem:
        """Make the problem, on the coarse mesh if no horizon is given."""
        return self.factory(horizon or self.horizon, **changes)

    def relative_error(self, objective: float) -> float:
        """Return the distance of an objective to the nearest known optimum, relative to that."""
        return min(abs(objective - value) / abs(value - self.origin) for value in (self.optimum, *self.other_optima))


def straight_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return states on a straight line from the initial to the final state, controls in the middle of their bounds."""
    share = problem.grid.mesh[:, None]
    end = np.where(problem.final.held, problem.final.values, problem.start)
    controls = np.tile(problem.control_box.middle(), (problem.horizon, 1))
    return Trajectory(
        problem.start + share * (end - problem.start), controls, problem.grid.time_step, problem.grid.mesh
    )
