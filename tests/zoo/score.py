"""Problems without a model of the dynamics, for `ScoreTranscription`; their optima are converged on the spot."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.zoo.analytic import make, squared_control
from tests.zoo.known import KnownProblem, straight_guess
from trajopt_sgp.data import Transitions, as_triples, triple_normalizer
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.formulations import ScoreTranscription
from trajopt_sgp.problem import OptimalControlProblem, StageCost
from trajopt_sgp.solvers import Ipopt, prepare
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

STEP = 0.2
A, B = np.array([[1.0, STEP], [0.0, 1.0]]), np.array([[0.5 * STEP**2], [STEP]])


def block_energy(state: Tensor, control: Tensor, after: Tensor) -> Tensor:
    """An energy of (x, u, x') of least value where x' is where a block pushed by u goes."""
    expected = state @ torch.as_tensor(A).T + control @ torch.as_tensor(B).T
    return (expected - after).square().sum(-1)


def pushed_block(distance: Any, horizon: int, **changes: Any) -> OptimalControlProblem:
    """Bring a block on a table from -0.8 to 0.5 with little effort, at rest at both ends."""
    settings: dict[str, Any] = {
        "dynamics": None,
        "horizon": horizon,
        "time_step": STEP,
        "initial_state": [-0.8, 0.0],
        "final_state": [0.5, 0.0],
        "stage_costs": [StageCost(squared_control, weight=0.01, name="effort"), distance],
        "control_bounds": (-2.0, 2.0),
        "state_names": ["position", "speed"],
        "control_names": ["force"],
    }
    return make(settings, changes)


def block_by_energy(horizon: int = 10, **changes: Any) -> OptimalControlProblem:
    """The energy of a block, sharp enough that the plan is nearly that of its dynamics."""
    energy = StageCost(block_energy, weight=100.0, next_state=True, name="energy")
    return pushed_block(energy, horizon, name="block by energy", **changes)


def block_by_data(horizon: int = 8, **changes: Any) -> OptimalControlProblem:
    """The smoothed distance to 1,000 transitions of a block; it is not convex."""
    triples = as_triples(block_transitions(1000))
    model = ExactSmoothedDistance(triples, triple_normalizer(triples, stretch=4.0))
    distance = DataDistance(model, weight=30.0, sigma=0.6, next_state=True)
    return pushed_block(distance, horizon, name="block by data", **changes)


@cache
def block_transitions(count: int) -> Transitions:
    """Return transitions of a block from random states under random forces."""
    rng = np.random.default_rng(0)
    states, controls = rng.uniform(-1.5, 1.5, (count, 2)), rng.uniform(-2.0, 2.0, (count, 1))
    arrays: dict[str, Any] = {
        "states": states,
        "controls": controls,
        "next_states": states @ A.T + controls @ B.T,
        "episodes": np.arange(count),
        "terminated": np.zeros(count, dtype=np.bool_),
    }
    info = describe_dataset("made/block-v0", arrays, (np.full(2, -9.0), np.full(2, 9.0)), ([-2.0], [2.0]))
    return Transitions(**arrays, dataset=info)


SCORE_PROBLEMS = {"block by energy": block_by_energy, "block by data": block_by_data}
"""What makes each problem, by its name."""


@cache
def score_problem(name: str) -> KnownProblem:
    """Return a problem with its optimum, which exists for its own horizon alone."""
    problem = SCORE_PROBLEMS[name]()
    prepared, guess = prepare(problem, ScoreTranscription(), Ipopt(tolerance=1e-10)), straight_guess(problem)
    begin = sum(prepared.program.cost_terms(guess, problem.values()).values())
    return KnownProblem(
        name=name,
        factory=SCORE_PROBLEMS[name],
        optimum=prepared.solve(guess).cost,
        source="converged by Ipopt on ScoreTranscription",
        guess=straight_guess,
        origin=begin if name == "block by data" else 0.0,  # a distance to data has no zero of its own
        horizon=problem.horizon,
        continuous=False,
        terminal_equalities=True,
        note="a distance of (x, u, x') carries the dynamics",
    )
