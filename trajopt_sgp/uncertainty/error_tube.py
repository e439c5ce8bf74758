"""How bounded one-step errors of a model grow along a plan, to first order: a tube around it."""

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.problem import Dynamics

ACCUMULATIONS = {"aligned": 1, "random": 2}
"""How errors of all steps add up, and the order of the norm that does it."""


def state_jacobians(
    dynamics: Dynamics, states: Float[Tensor, "*batch N n"], controls: Float[Tensor, "*batch N m"]
) -> Float[Tensor, "*batch N n n"]:
    """Return A_t = df/dx at knots, `(..., N, n), (..., N, m) -> (..., N, n, n)`; differentiable where inputs are."""
    tracked = torch.is_grad_enabled() and (states.requires_grad or controls.requires_grad)
    with torch.enable_grad():
        point = states.clone() if states.requires_grad and tracked else states.detach().requires_grad_(True)
        after = dynamics(point, controls)
        seeds = torch.eye(after.shape[-1], dtype=after.dtype, device=after.device)
        rows = [
            torch.autograd.grad(
                after, point, seed.expand_as(after), create_graph=tracked, retain_graph=True, materialize_grads=True
            )[0]
            for seed in seeds
        ]
    return torch.stack(rows, dim=-2)


def error_tube(
    jacobians: Float[Tensor, "*batch N n n"],
    bounds: Float[Tensor, "*batch N"],
    scale: Float[Tensor, " n"],
    accumulation: str = "aligned",
) -> Float[Tensor, "*batch knots n"]:
    """Return how far each state may be from the plan at each knot, `(..., N+1, n)`, zero at the first.

    With one-step errors e_t, |e_t / scale| <= bound_t, the state is off by sum_t A_{k-1} ... A_{t+1} e_t at knot k to
    first order, and coordinate i of it by at most sum_t bound_t |row i of A_{k-1} ... A_{t+1} diag(scale)|: the largest
    value if every error is as bad as it may be for this knot and coordinate. What second order adds is not bounded.
    Errors that do not conspire grow like the root of the sum of squares of the same terms.

    Args:
        jacobians: A_t, `(..., N, n, n)`.
        bounds: of the one-step errors, `(..., N)`.
        scale: units of the errors, `(n,)`.
        accumulation: "aligned" for the sum, the bound; "random" for the root of the sum of squares.
    """
    unit = scale.diag().expand(*jacobians.shape[:-3], 1, -1, -1)
    # sensitivities[..., t, :, :] of the state at knot k to the error at knot t < k
    sensitivities = unit[..., :0, :, :]
    radii = [torch.zeros_like(jacobians[..., 0, 0, :])]
    for k in range(jacobians.shape[-3]):
        sensitivities = torch.cat([jacobians[..., k : k + 1, :, :] @ sensitivities, unit], dim=-3)
        reach = torch.linalg.vector_norm(sensitivities, dim=-1)
        radii.append(torch.linalg.vector_norm(bounds[..., : k + 1, None] * reach, ACCUMULATIONS[accumulation], dim=-2))
    return torch.stack(radii, dim=-2)
