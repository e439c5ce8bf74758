"""Descent on plans whose variables are pictures: their light moves as a whole, and a score restores how they look."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.studies.pixels.motion import motions, translate

Restore = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""States `(P, N+1, r²)` and controls `(P, N, r²)` to what they would look like in the data."""

_TINY = 1e-12


class MovingPictures(torch.optim.Optimizer):
    """Nesterov momentum of what pictures show, for `GradientDescent` on x_0, u_0, ..., x_N, all pictures of r² pixels.

    The gradient of a cost by pixels asks for faint light all over a picture, which moves a centroid at once and a disc
    not at all. A step here moves all light of a picture along the force on it, which is the gradient by its two
    motions; after that pictures are restored. x_0 stays.

    Sources: N. Ratliff et al., CHOMP: gradient optimization techniques for efficient motion planning, ICRA 2009, for
    steps in a metric of whole paths; S. Venkatakrishnan et al., Plug-and-play priors for model based reconstruction,
    GlobalSIP 2013, for a denoiser that takes turns with a descent.

    Args:
        params: the decision variables, `(P, N 2r² + r²)`.
        lr: step size, as a share of the step that the metrics want.
        horizon: number of steps N.
        state_metric: how far forces on the states x_1, ..., x_N move them, in pixels, `(N, N)`.
        control_metric: the same for controls, each by itself.
        restore: applied after each step.
        momentum: share of the last step that is made again.
        longest: longest way of a picture in one step, in pixels.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        horizon: int,
        state_metric: Float[Tensor, "N N"],
        control_metric: float,
        restore: Restore,
        momentum: float = 0.9,
        longest: float = 1.0,
    ) -> None:
        super().__init__(params, {"lr": lr})
        self._horizon, self._restore, self._momentum, self._longest = horizon, restore, momentum, longest
        self._metrics = state_metric, control_metric

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the pictures by the gradients of the variables, and restore them; no closure is asked."""
        for group in self.param_groups:
            for variables in group["params"]:
                self._move(variables, group["lr"])
        return None

    def _move(self, variables: Tensor, rate: float) -> None:
        pull = torch.zeros_like(variables) if variables.grad is None else variables.grad
        (states, controls), (state_pull, control_pull) = self._split(variables), self._split(pull)
        metric, control_metric = self._metrics
        wanted = (
            metric.to(states) @ _forces(states[:, 1:], state_pull[:, 1:]),
            control_metric * _forces(controls, control_pull),
        )
        memory = self.state[variables].setdefault("ways", [torch.zeros_like(way) for way in wanted])
        moved = []
        for pictures, way, kept in zip((states[:, 1:], controls), wanted, memory, strict=True):
            kept.mul_(self._momentum).add_(way)
            moved.append(translate(pictures, -self._shortened(rate * (way + self._momentum * kept))))
        states, controls = self._restore(torch.cat([states[:, :1], moved[0]], dim=1), moved[1])
        pairs = torch.stack([states[:, :-1], controls], dim=2).flatten(1)
        variables.copy_(torch.cat([pairs, states[:, -1]], dim=1))

    def _split(self, variables: Tensor) -> tuple[Tensor, Tensor]:
        """Return states `(P, N+1, r²)` and controls `(P, N, r²)`."""
        pixels = variables.shape[1] // (2 * self._horizon + 1)
        pairs = variables[:, :-pixels].reshape(-1, self._horizon, 2, pixels)
        return torch.cat([pairs[:, :, 0], variables[:, None, -pixels:]], dim=1), pairs[:, :, 1]

    def _shortened(self, ways: Tensor) -> Tensor:
        length = ways.norm(dim=-1, keepdim=True).clamp_min(_TINY)
        share: Tensor = self._longest / length
        return ways * share.clamp_max(1.0)


def _forces(pictures: Tensor, pull: Tensor) -> Tensor:
    """Return the derivatives of the cost by the motions of each picture, per pixel, `(..., 2)`."""
    return (motions(pictures) @ pull[..., None])[..., 0]
