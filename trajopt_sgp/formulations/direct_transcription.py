"""Direct transcription: states and controls are variables, the discretised dynamics are equality defects."""

from dataclasses import dataclass

from trajopt_sgp.formulations.base import SteppedFormulation
from trajopt_sgp.formulations.held_control import HeldControl
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.stepping import IntegratorName
from trajopt_sgp.problem import OptimalControlProblem


@dataclass(frozen=True)
class DirectTranscription(SteppedFormulation):
    """Variables x_0, u_0, x_1, ..., u_{N-1}, x_N in this order; defects f(x_t, u_t) - x_{t+1} = 0.

    Controls are held over each interval. Continuous dynamics are integrated over it.

    Source: J. T. Betts, Practical Methods for Optimal Control Using Nonlinear Programming, chapter 4.

    Raises:
        OptionError: an unknown integrator, or substeps below 1.
    """

    integrator: IntegratorName = "rk4"
    """For continuous dynamics."""
    substeps: int = 1
    """Steps of the integrator in an interval."""

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program with K = N instances of every stage term."""
        return HeldControl(problem, self.stepper(problem), needs_value).program(self, steps=None)
