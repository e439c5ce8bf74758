"""Shooting: direct transcription with the states eliminated, all of them or all but some nodes."""

from dataclasses import dataclass
from typing import ClassVar

from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations.base import SteppedFormulation
from trajopt_sgp.formulations.held_control import HeldControl
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.stepping import IntegratorName
from trajopt_sgp.options import check_counts
from trajopt_sgp.problem import OptimalControlProblem


@dataclass(frozen=True)
class SingleShooting(SteppedFormulation):
    """Variables u_0, ..., u_{N-1}; the states follow by rolling the model out, their bounds become rows.

    Raises:
        OptionError: an unknown integrator, or substeps below 1.
    """

    integrator: IntegratorName = "rk4"
    """For continuous dynamics."""
    substeps: int = 1
    """Steps of the integrator in an interval."""

    rolls_out: ClassVar[bool] = True

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program; x_0 is a variable only where it is free."""
        return HeldControl(problem, self.stepper(problem), needs_value).program(self, steps=problem.horizon)


@dataclass(frozen=True)
class MultipleShooting(SteppedFormulation):
    """Variables are the controls, and the states at every `steps_per_interval`-th knot; the pieces meet by defects.

    Source: H. G. Bock and K. J. Plitt, A multiple shooting algorithm for direct solution of optimal control problems,
    IFAC 1984.

    Raises:
        OptionError: an unknown integrator, or a count below 1.
    """

    steps_per_interval: int = 5
    """Knots from one node to the next; must divide the horizon."""
    integrator: IntegratorName = "rk4"
    """For continuous dynamics."""
    substeps: int = 1
    """Steps of the integrator from one knot to the next."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self.name, steps_per_interval=self.steps_per_interval)

    @property
    def horizon_multiple(self) -> int:
        """Knots from one node to the next."""
        return self.steps_per_interval

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program.

        Raises:
            OptionError: the horizon is no multiple of `steps_per_interval`; lists divisors.
        """
        if problem.horizon % self.steps_per_interval:
            divisors = [str(k) for k in range(1, problem.horizon + 1) if problem.horizon % k == 0]
            raise OptionError(
                f"MultipleShooting: steps_per_interval = {self.steps_per_interval} does not divide the horizon "
                f"{problem.horizon}; choose from {', '.join(divisors)}."
            )
        return HeldControl(problem, self.stepper(problem), needs_value).program(self, steps=self.steps_per_interval)
