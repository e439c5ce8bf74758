"""What the controls of a plan really do: an accurate integration of the dynamics, and the cost along it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations.scaling import state_scale
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.problem import OptimalControlProblem, Parameters, Solution, Trajectory
from trajopt_sgp.problem.dynamics import is_continuous
from trajopt_sgp.problem.solution import Plant
from trajopt_sgp.problem.terms import StageCostTerm

_SUBSTEPS = 20


@dataclass(frozen=True)
class Resimulated:
    """A plan's controls along the dynamics, or in a plant, from its first state."""

    trajectory: Trajectory
    """States at the knots, `(N+1, n)`."""
    final_gap: float
    """Largest difference of a last state to the planned one, relative to the units of the states."""
    cost_terms: Mapping[str, float]
    """Cost by term along the states that were reached; costs of controls alone and of soft constraints as planned."""

    @property
    def cost(self) -> float:
        """Sum of the cost terms."""
        return float(sum(self.cost_terms.values()))


def resimulate(solution: Solution) -> Resimulated | None:
    """Integrate the dynamics under the planned controls, in float64, by twenty Runge-Kutta steps in every interval.

    Discrete dynamics are rolled out. Returns None for a problem without dynamics.
    """
    if solution.problem.dynamics is None:
        return None
    problem = solution.problem.to(torch.float64)
    integration = _Integration(problem, _in_double(solution.parameters), solution.trajectory)
    states, integrals = integration.run()
    plan = solution.trajectory
    truth = Trajectory(states, plan.controls, plan.time_step, plan.mesh)
    with np.errstate(all="ignore"):
        gap = np.abs(states[-1] - plan.states[-1]) / state_scale(problem)
    terms = {**solution.cost_terms, **integration.knot_costs(states), **integrals}
    return Resimulated(truth, float(np.nan_to_num(gap, nan=np.inf).max()), terms)


def execute(solution: Solution, plant: Plant) -> Resimulated:
    """Let a plant take the planned controls, a step for each interval, from the plan's first state."""
    executed = solution.resimulate(plant)
    with np.errstate(all="ignore"):
        gap = np.abs(executed.gap[-1]) / state_scale(solution.problem)
    return Resimulated(executed.trajectory, float(np.nan_to_num(gap, nan=np.inf).max()), executed.cost_terms)


@dataclass(frozen=True, eq=False)
class _Integration:
    problem: OptimalControlProblem
    parameters: Parameters
    plan: Trajectory

    def run(self) -> tuple[FloatArray, dict[str, float]]:
        """Return the states at the knots `(N+1, n)` and the costs that are integrals."""
        terms = [term for term in self.problem.stage_terms if term.integral]
        start = np.concatenate([self.plan.states[0], np.zeros(len(terms))])
        states = [torch.as_tensor(start)[None]]
        with torch.no_grad():
            for interval, span in enumerate(np.diff(self.plan.times)):
                states.append(self._after(states[-1], interval, float(span), terms))
        knots: FloatArray = torch.cat(states).numpy()
        n = self.problem.state_size
        return knots[:, :n], {term.name: float(knots[-1, n + i]) for i, term in enumerate(terms)}

    def knot_costs(self, states: FloatArray) -> dict[str, float]:
        """Return the costs at knots and at the end along states `(N+1, n)`."""
        points, controls = torch.as_tensor(states), torch.as_tensor(self.plan.controls)
        local = self.parameters.local(np.arange(self.plan.horizon, dtype=np.float64))
        last = self.parameters.local(np.array([float(self.plan.horizon)]))
        costs: dict[str, float] = {}
        with torch.no_grad():
            for term in self.problem.stage_terms:
                if not term.integral:
                    inputs = torch.cat([controls, points[1:]], dim=-1) if term.next_state else controls
                    costs[term.name] = float(term.face(False).merit(points[:-1], inputs, local).sum())
            for end in self.problem.terminal_terms:
                costs[end.name] = float(end.weighted(points[-1:], last).sum())
        return costs

    def _after(self, state: Tensor, interval: int, span: float, terms: Sequence[StageCostTerm]) -> Tensor:
        """Return state and integrals `(1, n+k)` at the end of an interval."""
        if not is_continuous(self.problem.dynamics):
            rates = self._rates(state, interval, 0.0, terms)
            change = state[..., self.problem.state_size :] + span * rates[..., self.problem.state_size :]
            return torch.cat([rates[..., : self.problem.state_size], change], dim=-1)
        step = span / _SUBSTEPS
        for k in range(_SUBSTEPS):
            begin, middle, end = (k / _SUBSTEPS, (k + 0.5) / _SUBSTEPS, (k + 1) / _SUBSTEPS)
            k1 = self._rates(state, interval, begin, terms)
            k2 = self._rates(state + 0.5 * step * k1, interval, middle, terms)
            k3 = self._rates(state + 0.5 * step * k2, interval, middle, terms)
            k4 = self._rates(state + step * k3, interval, end, terms)
            state = state + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return state

    def _rates(self, state: Tensor, interval: int, fraction: float, terms: Sequence[StageCostTerm]) -> Tensor:
        """Return the model's value and the rates of the integrals `(1, n+k)` at a fraction of an interval."""
        x, u = state[..., : self.problem.state_size], torch.as_tensor(self._control(interval, fraction))
        local = self.parameters.local(np.array([interval + fraction]))
        value = Stepper(self.problem).derivative(x, u, local)
        return torch.cat([value, *(term.face(False).merit(x, u, local)[..., None] for term in terms)], dim=-1)

    def _control(self, interval: int, fraction: float) -> FloatArray:
        """Return the planned control `(1, m)`; at the end of an interval that just before it."""
        if self.plan.control_curve is None:
            return self.plan.controls[interval : interval + 1]
        return self.plan.control_curve.at(np.array([interval]), np.array([fraction]))


def _in_double(parameters: Parameters) -> Parameters:
    values = {name: value.double() for name, value in parameters.values.items()}
    return replace(parameters, initial_state=parameters.initial_state.double(), values=values)
