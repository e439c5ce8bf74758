"""MPPI and CEM beside pytorch-mppi: the same network, horizon and number of samples.

Both plan 20 iterations of 256 samples over 50 steps of a cart-pole network (3 x 128 SiLU, float64, one thread).
pytorch-mppi samples as it does by default and evaluates all samples of a step in one call of the network.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import interleave
from benchmarks.rows import NOT_INSTALLED, Case, Row
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import OptimalControlProblem, Solution
from trajopt_sgp.solvers import CEM, MPPI, prepare
from trajopt_sgp.solvers.sampled_search import SamplingSolver

HORIZON, SAMPLES, LIMIT = 50, 256, 10.0


@dataclass(frozen=True, eq=False)
class SamplingCase:
    """The problem, and what plans it."""

    iterations: int
    """Of every plan."""
    dynamics: LearnedDynamics = field(init=False)
    start: Tensor = field(init=False)

    def __post_init__(self) -> None:
        data = sample_cartpole_transitions(2000, np.random.default_rng(0))
        dynamics = LearnedDynamics(data.dataset, fit_normalizer(data)).double().requires_grad_(False)
        object.__setattr__(self, "dynamics", dynamics)
        object.__setattr__(self, "start", torch.tensor([0.1, 0.2, 0.0, 0.0], dtype=torch.float64))

    def cost(self, state: Tensor, control: Tensor) -> Tensor:
        """Return a quadratic running cost `(...)`."""
        return state.square().sum(-1) + 0.01 * control.square().sum(-1)

    def ours(self, solver: SamplingSolver) -> Callable[[], Solution]:
        """Return what plans once with one of our solvers."""
        problem = OptimalControlProblem(
            dynamics=self.dynamics,
            horizon=HORIZON,
            time_step=0.05,
            initial_state=self.start.numpy(),
            stage_costs=[self.cost],
            control_bounds=(-LIMIT, LIMIT),
        )
        return partial(prepare(problem, SingleShooting(), solver).solve)

    def peer(self) -> Callable[[], None]:
        """Return what plans once with pytorch-mppi."""
        from pytorch_mppi import MPPI as PeerMPPI

        sigma = torch.eye(1, dtype=torch.float64) * (0.5 * LIMIT) ** 2
        limit = torch.tensor([LIMIT], dtype=torch.float64)
        planner = PeerMPPI(
            self.dynamics, self.cost, 4, sigma, num_samples=SAMPLES, horizon=HORIZON, u_min=-limit, u_max=limit
        )

        def plan() -> None:
            with torch.no_grad():
                planner.reset()
                for _ in range(self.iterations):
                    planner.command(self.start, shift_nominal_trajectory=False)

        return plan


def cases() -> list[Case]:
    """Both solvers beside the peer."""
    return [Case("sampling", "20 iterations of 256 samples over 50 steps, 3×128 SiLU.", _rows)]


def _rows(quick: bool) -> Iterator[Row]:
    case = SamplingCase(iterations=1 if quick else 20)
    count = case.iterations
    solvers = [MPPI(iterations=count, population=SAMPLES), CEM(iterations=count, population=SAMPLES, shrinking=1.0)]
    note = "each draws its own samples: there is no result to compare"
    with limited_threads(1):
        for solver in solvers:
            fixed: dict[str, Any] = {"case": f"{solver.name}, {SAMPLES} samples", "peer": "pytorch-mppi, MPPI"}
            try:
                functions = {"ours": case.ours(solver), "peer": case.peer()}
            except ImportError as error:
                yield Row(**fixed, note=f"{NOT_INSTALLED} ({error.name})")
                continue
            times = interleave(functions, 0.1 if quick else 12.0)
            yield Row(**fixed, ours_ms=1e3 * times["ours"], peer_ms=1e3 * times["peer"], note=note)
