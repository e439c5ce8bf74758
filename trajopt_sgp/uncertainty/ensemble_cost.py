"""The cost of a plan as the members of an ensemble see it: its mean and its variance."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.models import EnsembleDynamics
from trajopt_sgp.problem import OptimalControlProblem, Parameters, TrajectoryCost
from trajopt_sgp.problem.precision import cast, parameter_dtype
from trajopt_sgp.problem.terms import StageCostTerm
from trajopt_sgp.uncertainty.data_distance import DataDistance
from trajopt_sgp.uncertainty.ensemble_rollout import MemberRollout


@dataclass(frozen=True, eq=False)
class EnsembleCostVariance:
    """weight var_k V_k + mean_weight mean_k V_k of the total costs V_k of one sequence of controls.

    V_k is the sum of the problem's own stage and terminal costs, at the weights they are declared with, along the
    states that member k reaches from x_0; distances to data and costs of control rates are not among them. The variance
    is unbiased. It is a function of the whole plan, to be wrapped as `TrajectoryCost`.

    Source: H. J. T. Suh et al., CoRL 2023, ensembles as a baseline.

    Raises:
        IncompatibleError: the problem has no such costs.
    """

    ensemble: EnsembleDynamics
    """Whose members are rolled out, all in one batch."""
    problem: OptimalControlProblem
    """Whose costs are meant."""
    weight: float = 1.0
    """Of the variance."""
    mean_weight: float = 0.0
    """Of the mean."""
    rollout: MemberRollout = field(init=False)
    """How states follow from controls; its `backend` says whether it is compiled."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rollout", MemberRollout(self.ensemble))
        if not (self._stage_terms() or self.problem.terminal_terms):
            raise IncompatibleError("The problem has no stage or terminal costs, whose variance could be measured.")

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the ensemble."""
        return parameter_dtype(self.ensemble)

    def __call__(self, states: Tensor, controls: Tensor, *values: Tensor) -> Tensor:
        """Return the cost `(...)` of plans with states `(..., N+1, n)` and controls `(..., N, m)`.

        Args:
            states: of which only the first counts.
            controls: the same for all members.
            values: of the parameters of the problem, in its order.
        """
        costs = self.member_costs(states[..., 0, :], controls, *values)
        return self.weight * costs.var(0) + self.mean_weight * costs.mean(0)

    def member_costs(self, start: Tensor, controls: Tensor, *values: Tensor) -> Tensor:
        """Return V_k `(K, ...)` from initial states `(..., n)` under controls `(..., N, m)`."""
        drives = controls.expand(self.ensemble.member_count, *controls.shape)
        states = self.rollout(start, controls)
        parameters = Parameters(start, 1.0, dict(zip(self.problem.parameters, values, strict=True)))
        knots = parameters.local(np.arange(self.problem.horizon, dtype=np.float64))
        last = parameters.local(np.array([float(self.problem.horizon)]))
        total = sum(self._stage(term, states, drives, knots) for term in self._stage_terms())
        ends = sum(term.weighted(states[..., -1:, :], last).sum(-1) for term in self.problem.terminal_terms)
        return torch.as_tensor(total + ends)

    def to(self, dtype: torch.dtype) -> "EnsembleCostVariance":
        """Return the same with all models converted to `dtype`."""
        return replace(self, ensemble=cast(self.ensemble, dtype), problem=self.problem.to(dtype))

    def _stage(self, term: StageCostTerm, states: Tensor, controls: Tensor, parameters: Parameters) -> Tensor:
        drives = torch.cat([controls, states[..., 1:, :]], dim=-1) if term.next_state else controls
        costs = term.face(needs_value=True).function(states[..., :-1, :], drives, parameters)
        grid = self.problem.grid
        return (costs * costs.new_tensor(grid.shares * grid.duration)).sum(-1) if term.integral else costs.sum(-1)

    def _stage_terms(self) -> list[StageCostTerm]:
        return [term for term in self.problem.stage_terms if not isinstance(term, DataDistance)]


def ensemble_problem(
    problem: OptimalControlProblem, ensemble: EnsembleDynamics, weight: float, name: str = "ensemble_cost"
) -> OptimalControlProblem:
    """Return the problem of planning with an ensemble: minimise mean_k V_k + weight var_k V_k, for shooting.

    The dynamics are the mean prediction, along which constraints and the terms that remain are evaluated: distances to
    data and costs of control rates.

    Source: H. J. T. Suh et al., CoRL 2023, ensembles as a baseline.
    """
    cost = EnsembleCostVariance(ensemble, problem, weight, mean_weight=1.0)
    kept = [term for term in problem.stage_terms if isinstance(term, DataDistance)]
    whole = TrajectoryCost(cost, name=name, parameters=tuple(problem.parameters))
    return problem.replaced(
        dynamics=ensemble,
        stage_costs=[*kept, *problem.rate_costs],
        terminal_costs=[],
        trajectory_costs=[*problem.trajectory_terms, whole],
    )
