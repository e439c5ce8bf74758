"""What every formulation is."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.problem import OptimalControlProblem

if TYPE_CHECKING:
    from trajopt_sgp.formulations.program import NonlinearProgram

# of the Runge-Kutta method, where a formulation has none of its own
_SUBSTEPS = 4


class Formulation(ABC):
    """A way to turn an optimal control problem into a nonlinear program."""

    rolls_out: ClassVar[bool] = False
    """Whether the dynamics hold at every iterate, so that sampling solvers can search the controls."""

    @property
    def name(self) -> str:
        """Name for tables and messages."""
        return type(self).__name__

    @property
    def differentiates(self) -> bool:
        """Whether its gradients come from derivatives of the functions of the problem."""
        return True

    def stepper(self, problem: OptimalControlProblem) -> Stepper:
        """Return how states move over an interval whose control is held, for guesses and predictions.

        With the integrator of the formulation and its substeps, where it has them.

        Raises:
            IncompatibleError: the problem has no dynamics.
        """
        return Stepper(problem, getattr(self, "integrator", "rk4"), getattr(self, "substeps", _SUBSTEPS))

    @abstractmethod
    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> "NonlinearProgram":
        """Make the nonlinear program.

        Args:
            problem: in the precision in which the solver wants it evaluated.
            needs_value: whether the solver compares values, so that distances to data must offer one.

        Raises:
            IncompatibleError: the formulation cannot handle something in the problem; names it.
        """
