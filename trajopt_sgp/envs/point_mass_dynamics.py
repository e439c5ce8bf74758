"""The point mass of the planar worlds as an analytic torch model, equal to the environment."""

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.envs.planar_worlds import CONTROL_NAMES, STATE_NAMES, PlanarWorld
from trajopt_sgp.errors import ShapeError


class PointMassDynamics(torch.nn.Module):
    """Discrete dynamics x' = x + gain u of a world, in the floating-point type of its input.

    The module has no weights. Shapes `(..., 2), (..., 2) -> (..., 2)`, the leading dimensions equal.
    """

    state_size = 2
    control_size = 2
    time_step = 1.0
    state_names = STATE_NAMES
    control_names = CONTROL_NAMES

    def __init__(self, world: PlanarWorld) -> None:
        super().__init__()
        self.world = world

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the states `(..., 2)` one step after `state` `(..., 2)` under `control` `(..., 2)`.

        Raises:
            ShapeError: the sizes are not 2 and 2, or the leading dimensions differ.
        """
        if state.shape != control.shape or state.shape[-1:] != (2,):
            raise ShapeError(
                "The point mass takes states (..., 2) and controls (..., 2) with equal leading dimensions, "
                f"not {tuple(state.shape)} and {tuple(control.shape)}."
            )
        return state + self.world.gain * control

    def extra_repr(self) -> str:
        """Return the name of the world, for the printed module."""
        return self.world.name
