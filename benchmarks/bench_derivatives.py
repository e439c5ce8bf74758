"""Derivative blocks of one Ipopt iteration over 60 knots: ours, and torch.func's vmap of jacrev and hessian beside it.

Both differentiate the same networks of the sizes used on the cart-pole (4 states, 1 control, 3 x 128 SiLU), in float64
on one thread, and must agree to 1e-9.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.func import hessian, jacrev, vmap

from benchmarks.measure import Measurement, time_calls
from trajopt_sgp.derivatives.generic import GenericBlocks
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import sample_transitions
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, fit_normalizer

KNOTS = 60


def measure() -> Iterator[Measurement]:
    """Time Jacobian and Hessian of the dynamics, gradient and Hessian of the energy."""
    data = sample_transitions(2000, np.random.default_rng(0))
    dynamics = LearnedDynamics(data.dataset, fit_normalizer(data)).double()
    energy = EnergyNetwork(data.dataset, fit_normalizer(data)).double()
    points = torch.tensor(np.hstack([data.states, data.controls])[:KNOTS])
    weights = torch.ones(KNOTS, 4, dtype=torch.float64)
    parameters = Parameters(points[0, :4])

    def step(z: Tensor, p: Parameters) -> Tensor:
        after: Tensor = dynamics(z[..., :4], z[..., 4:])
        return after

    def distance(z: Tensor, p: Parameters) -> Tensor:
        return energy.distance(energy.normalize(z[..., :4], z[..., 4:]), 0.1)

    ours, cost = GenericBlocks(step), GenericBlocks(distance)
    pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "Jacobian of the dynamics": (
            lambda: ours.jacobian(points, parameters)[1],
            lambda: vmap(jacrev(lambda z: step(z, parameters)))(points),
        ),
        "Hessian of the dynamics": (
            lambda: ours.hessian(points, weights, parameters),
            lambda: vmap(hessian(lambda z: step(z, parameters).sum()))(points),
        ),
        "Hessian of the energy": (
            lambda: cost.hessian(points, weights[:, 0], parameters),
            lambda: vmap(hessian(lambda z: distance(z, parameters)))(points),
        ),
    }
    with limited_threads(1):
        for name, (own, peer) in pairs.items():
            torch.testing.assert_close(own(), peer(), rtol=1e-9, atol=1e-9)
            yield time_calls(f"{name}: ours", own, repeats=30)
            yield time_calls(f"{name}: torch.func", peer, repeats=30)
