"""What every formulation is."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from trajopt_sgp.formulations.stepping import IntegratorName, Stepper
from trajopt_sgp.models.integrators import ORDERS, check_stepping
from trajopt_sgp.problem import OptimalControlProblem

if TYPE_CHECKING:
    from trajopt_sgp.formulations.program import NonlinearProgram

# of the Runge-Kutta method, where a formulation has none of its own
_SUBSTEPS = 4
# states between knots follow a cubic
_ORDER_OF_CUBIC = 4


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

    @property
    def mesh_error_order(self) -> int:
        """Power of the length of an interval with which its mesh error falls: the degree of its states plus one.

        Unless a formulation knows better it is 2, which any convergent method has.
        """
        return 2

    @property
    def horizon_multiple(self) -> int:
        """What the number of intervals must be a multiple of."""
        return 1

    def stepper(self, problem: OptimalControlProblem) -> Stepper:
        """Return how states move over an interval whose control is held, for guesses and predictions.

        Raises:
            IncompatibleError: the problem has no dynamics.
        """
        return Stepper(problem, "rk4", _SUBSTEPS)

    @abstractmethod
    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> "NonlinearProgram":
        """Make the nonlinear program.

        Args:
            problem: in the precision in which the solver wants it evaluated.
            needs_value: whether the solver compares values, so that distances to data must offer one.

        Raises:
            IncompatibleError: the formulation cannot handle something in the problem; names it.
        """


class SteppedFormulation(Formulation):
    """A formulation that holds controls over intervals, and integrates continuous dynamics by a method of choice.

    Raises:
        OptionError: an unknown integrator, or substeps below 1.
    """

    integrator: IntegratorName
    """For continuous dynamics."""
    substeps: int
    """Steps of the integrator in an interval."""

    def __post_init__(self) -> None:
        check_stepping(self.name, self.integrator, self.substeps)

    @property
    def mesh_error_order(self) -> int:
        """As the integrator has it, or the curve between the knots where that is less."""
        return min(ORDERS[self.integrator] + 1, _ORDER_OF_CUBIC)

    def stepper(self, problem: OptimalControlProblem) -> Stepper:
        """Return how states move over an interval: as the formulation has it."""
        return Stepper(problem, self.integrator, self.substeps)
