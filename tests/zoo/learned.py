"""The cart-pole with dynamics learned from sampled transitions; its optimum is converged on the spot."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.zoo.analytic import make
from tests.zoo.known import KnownProblem, straight_guess
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.learning import DynamicsSettings, train_dynamics
from trajopt_sgp.models import LearnedDynamics
from trajopt_sgp.problem import OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import Ipopt, solve

GOAL = (1.0, 0.0, 0.0, 0.0)


@cache
def learned_cart_pole() -> LearnedDynamics:
    """Return dynamics trained for a few seconds on 3,000 transitions of the cart-pole, always the same."""
    settings = DynamicsSettings(hidden_sizes=(32, 32), steps=1000, validate_every=500, warmup_steps=50)
    return train_dynamics(sample_cartpole_transitions(3000, np.random.default_rng(7)), settings, seed=1).model


def small_force(state: Tensor, control: Tensor) -> Tensor:
    return (control / 80.0).square().sum(-1)


def small_swing(state: Tensor, control: Tensor) -> Tensor:
    return state[..., 1].square() + 0.1 * state[..., 3].square()


def missed_goal(state: Tensor) -> Tensor:
    return (state - torch.tensor(GOAL, dtype=state.dtype)).square().sum(-1)


def learned_transfer(horizon: int = 30, **changes: Any) -> OptimalControlProblem:
    """Move the cart by 1 m in 1.5 s while its pole hangs still, by a learned model with steps of 0.05 s."""
    settings: dict[str, Any] = {
        "dynamics": learned_cart_pole(),
        "horizon": horizon,
        "time_step": 0.05,
        "initial_state": np.zeros(4),
        "stage_costs": [StageCost(small_force, name="force"), StageCost(small_swing, weight=0.1, name="swing")],
        "terminal_costs": [TerminalCost(missed_goal, weight=10.0, name="goal")],
        "control_bounds": (-80.0, 80.0),
        "name": "learned cart-pole",
    }
    return make(settings, changes)


@cache
def learned_problem() -> KnownProblem:
    """Return the problem with its optimum, which exists for the horizon of 30 steps alone."""
    problem = learned_transfer()
    best = solve(problem, DirectTranscription(), Ipopt(tolerance=1e-10), guess=straight_guess(problem))
    return KnownProblem(
        name="learned cart-pole",
        factory=learned_transfer,
        optimum=best.cost,
        source="converged by Ipopt on DirectTranscription",
        guess=straight_guess,
        horizon=30,
        continuous=False,
        note="discrete time, so that formulations must agree to the tolerance of the solver",
    )
