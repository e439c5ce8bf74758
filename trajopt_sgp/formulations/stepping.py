"""The dynamics over one interval with the control held: a discrete model, or a continuous one integrated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.models.integrators import INTEGRATORS as INTEGRATORS
from trajopt_sgp.models.integrators import IntegratorName as IntegratorName
from trajopt_sgp.problem import OptimalControlProblem, Parameters
from trajopt_sgp.problem.dynamics import is_continuous, parameter_names

FloatArray = NDArray[np.float64]


def check_stepping(integrator: str, substeps: int) -> None:
    """Check how a formulation integrates continuous dynamics.

    Raises:
        OptionError: an unknown integrator, or substeps below 1.
    """
    if integrator not in INTEGRATORS:
        raise OptionError(f"Unknown integrator {integrator!r}; choose from {', '.join(INTEGRATORS)}.")
    if type(substeps) is not int or substeps < 1:
        raise OptionError(f"substeps = {substeps!r}; it must be a whole number, at least 1.")


@dataclass(frozen=True)
class Stepper:
    """Moves states over an interval of a problem's dynamics.

    Raises:
        OptionError: an unknown integrator, or substeps below 1.
        IncompatibleError: the problem has no dynamics.
    """

    problem: OptimalControlProblem
    """Its dynamics are meant."""
    integrator: str = "rk4"
    """Key of `INTEGRATORS`, for continuous dynamics."""
    substeps: int = 1
    """Steps of the integrator in an interval."""

    def __post_init__(self) -> None:
        check_stepping(self.integrator, self.substeps)
        if self.problem.dynamics is None:
            raise IncompatibleError("The problem has no dynamics; only ScoreTranscription does without.")

    def derivative(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        """Return the model's value `(..., n)`: the rate of the state, or the next state of a discrete model."""
        dynamics: Any = self.problem.dynamics
        names = parameter_names(dynamics)
        result: Tensor = dynamics(state, control, *(parameters.values[name] for name in names))
        return result

    def advance(self, state: Tensor, control: Tensor, span: Tensor, parameters: Parameters) -> Tensor:
        """Return the states `(..., n)` after intervals of `span` `(...)` [s]."""
        if not is_continuous(self.problem.dynamics):
            return self.derivative(state, control, parameters)
        return self._integrate(lambda x, u: self.derivative(x, u, parameters), state, control, span)

    def integral(
        self,
        rate: Callable[[Tensor, Tensor], Tensor],
        state: Tensor,
        control: Tensor,
        span: Tensor,
        parameters: Parameters,
    ) -> Tensor:
        """Return the integral `(...)` of a rate over intervals, by the same method as the states.

        Along a discrete model the rate at the first knot is held.
        """
        if not is_continuous(self.problem.dynamics):
            return span * rate(state, control)

        def augmented(x: Tensor, u: Tensor) -> Tensor:
            inner = x[..., :-1]
            return torch.cat([self.derivative(inner, u, parameters), rate(inner, u)[..., None]], dim=-1)

        start = torch.cat([state, torch.zeros_like(state[..., :1])], dim=-1)
        return self._integrate(augmented, start, control, span)[..., -1]

    def _integrate(
        self, derivative: Callable[[Tensor, Tensor], Tensor], state: Tensor, control: Tensor, span: Tensor
    ) -> Tensor:
        step = span[..., None] / self.substeps
        for _ in range(self.substeps):
            state = INTEGRATORS[self.integrator](derivative, state, control, step)
        return state
