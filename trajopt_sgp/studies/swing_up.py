"""The cart-pole swing-up as an optimal control problem over a learned model, guided by a distance to data or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.envs import CartPoleParameters, cartpole_swing_up_cost
from trajopt_sgp.envs.cartpole_equations import CONTROL_NAMES, STATE_NAMES
from trajopt_sgp.models import check_same_data
from trajopt_sgp.problem import Dynamics, OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.problem.terms import StageCostTerm
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.uncertainty.protocols import GradientModel

SUCCESS_COST = 0.1
"""A plan succeeds when its true terminal cost is below this."""


@dataclass(frozen=True)
class Guidance:
    """How strongly and how closely a plan is held to the data; β counts only with its weighting and σ beside it.

    Uncertainties without noise levels take β alone.
    """

    beta: float = 5.0
    """β, weight of the distance to data."""
    sigma_start: float = 0.3
    """σ at the start of the schedule, in normalised units."""
    sigma_stop: float = 0.02
    """σ at its end."""

    def term(self, model: GradientModel) -> list[DataDistance]:
        """Return the distance to data with weighting σ², or nothing where β is zero."""
        if self.beta == 0.0:
            return []
        if model.sigma_range is None:
            return [DataDistance(model, weight=self.beta)]
        return [DataDistance(model, weight=self.beta, schedule=GeometricSchedule(self.sigma_start, self.sigma_stop))]


def swing_up_problem(
    dynamics: Dynamics,
    distances: Sequence[DataDistance] = (),
    *,
    horizon: int = 60,
    effort_weight: float = 0.0,
    tracking_weight: float = 0.0,
    force_limits: bool = True,
    initial_state: ArrayLike = (0.0, 0.0, 0.0, 0.0),
) -> OptimalControlProblem:
    """Return the problem: terminal cost p² + (θ-π)² + 0.1ṗ² + 0.1θ̇², from hanging at rest unless said.

    Args:
        dynamics: learned or analytic, of the cart-pole.
        distances: distances to data, each from a model of the same dataset as the dynamics.
        horizon: number of intervals of 0.05 s.
        effort_weight: weight of (force / 80 N)² at every knot.
        tracking_weight: weight of the terminal cost's function at every knot; for a receding horizon.
        force_limits: whether the planner is told that the motor ends at ±80 N.
        initial_state: p [m], θ [rad], ṗ [m/s], θ̇ [rad/s].

    Raises:
        IncompatibleError: dynamics and distance come from different data.
    """
    learned = [model for model in (dynamics, *(term.model for term in distances)) if hasattr(model, "dataset")]
    check_same_data(*learned)
    parameters = CartPoleParameters()
    limit = parameters.force_limit
    costs: list[StageCostTerm] = list(distances)

    def effort(state: Tensor, control: Tensor) -> Tensor:
        return (control / limit).square().sum(-1)

    def tracking(state: Tensor, control: Tensor) -> Tensor:
        return cartpole_swing_up_cost(state)

    if effort_weight > 0.0:
        costs.append(StageCost(effort, effort_weight, "effort"))
    if tracking_weight > 0.0:
        costs.append(StageCost(tracking, tracking_weight, "tracking"))
    bounds: dict[str, Any] = {"control_bounds": (-limit, limit)} if force_limits else {}
    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=horizon,
        initial_state=np.asarray(initial_state, dtype=np.float64),
        stage_costs=costs,
        terminal_costs=[TerminalCost(cartpole_swing_up_cost, name="terminal")],
        time_step=parameters.time_step,
        state_names=STATE_NAMES,
        control_names=CONTROL_NAMES,
        name="cart-pole swing-up",
        **bounds,
    )
