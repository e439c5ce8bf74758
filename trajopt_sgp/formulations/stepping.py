"""The dynamics over one interval with the control held: a discrete model, or a continuous one integrated."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.models.integrators import INTEGRATORS as INTEGRATORS
from trajopt_sgp.models.integrators import IntegratorName as IntegratorName
from trajopt_sgp.models.integrators import check_stepping
from trajopt_sgp.problem import OptimalControlProblem, Parameters
from trajopt_sgp.problem.dynamics import is_continuous, parameter_names

Ends = tuple[Parameters, Parameters]
"""Parameters at the beginning and at the end of intervals; continuous dynamics see them linear in between."""

Rate = Callable[[Tensor, Tensor, Parameters], Tensor]
"""State, control and parameters at one time to what is integrated."""


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
        check_stepping("Stepper", self.integrator, self.substeps)
        if self.problem.dynamics is None:
            raise IncompatibleError("The problem has no dynamics; only ScoreTranscription does without.")

    def derivative(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        """Return the model's value `(..., n)`: the rate of the state, or the next state of a discrete model."""
        dynamics: Any = self.problem.dynamics
        names = parameter_names(dynamics)
        result: Tensor = dynamics(state, control, *(parameters.values[name] for name in names))
        return result

    def rates(self, states: FloatArray, controls: FloatArray, parameters: Parameters) -> FloatArray:
        """Return `derivative` as an array, for states `(..., n)` and controls `(..., m)` that are arrays."""
        state, control = (torch.as_tensor(values, dtype=self.problem.dtype) for values in (states, controls))
        with torch.no_grad():
            rate: FloatArray = self.derivative(state, control, parameters).to(torch.float64).numpy()
        return rate

    def advance(self, state: Tensor, control: Tensor, span: Tensor, ends: Ends) -> Tensor:
        """Return the states `(..., n)` after intervals of `span` `(...)` [s]."""
        if not is_continuous(self.problem.dynamics):
            return self.derivative(state, control, ends[0])
        # what costs alone take need not go along
        names = parameter_names(self.problem.dynamics)
        first, last = (replace(each, values={name: each.values[name] for name in names}) for each in ends)
        return self._integrate(self.derivative, state, control, span, (first, last))

    def integral(self, rate: Rate, state: Tensor, control: Tensor, span: Tensor, ends: Ends) -> Tensor:
        """Return the integral `(...)` of a rate over intervals, by the same method as the states.

        Along a discrete model the rate at the first knot is held.
        """
        if not is_continuous(self.problem.dynamics):
            return span * rate(state, control, ends[0])

        def augmented(x: Tensor, u: Tensor, parameters: Parameters) -> Tensor:
            inner = x[..., :-1]
            return torch.cat([self.derivative(inner, u, parameters), rate(inner, u, parameters)[..., None]], dim=-1)

        start = torch.cat([state, torch.zeros_like(state[..., :1])], dim=-1)
        return self._integrate(augmented, start, control, span, ends)[..., -1]

    def _integrate(self, rate: Rate, state: Tensor, control: Tensor, span: Tensor, ends: Ends) -> Tensor:
        """Integrate a rate `(..., n)`; parameters that change go along as states of constant rates."""
        (first, last), n = ends, state.shape[-1]
        changing = [name for name, value in first.values.items() if last.values[name] is not value]
        if not changing:
            return self._steps(lambda x, u: rate(x, u, first), state, control, span)
        begin, end = (torch.cat([each.values[name] for name in changing], dim=-1) for each in ends)
        speeds = ((end - begin) / span[..., None]).expand(*state.shape[:-1], -1)
        places = np.cumsum([n, *(first.values[name].shape[-1] for name in changing)]).tolist()

        def moving(z: Tensor, u: Tensor) -> Tensor:
            own = {name: z[..., a:b] for name, a, b in zip(changing, places, places[1:], strict=False)}
            local = replace(first, values={**first.values, **own})
            return torch.cat([rate(z[..., :n], u, local), speeds], dim=-1)

        start = torch.cat([state, begin.expand_as(speeds)], dim=-1)
        return self._steps(moving, start, control, span)[..., :n]

    def _steps(
        self, derivative: Callable[[Tensor, Tensor], Tensor], state: Tensor, control: Tensor, span: Tensor
    ) -> Tensor:
        step = span[..., None] / self.substeps
        for _ in range(self.substeps):
            state = INTEGRATORS[self.integrator](derivative, state, control, step)
        return state
