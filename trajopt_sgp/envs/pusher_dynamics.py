"""The pusher-slider as analytic models: in the pose of the box and in keypoints, in torch and CasADi."""

import casadi
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.envs.pusher_equations import (
    CASADI,
    CONTROL_NAMES,
    CONTROL_SIZE,
    CORNER_SIGNS,
    KEYPOINT_STATE_NAMES,
    KEYPOINT_STATE_SIZE,
    STATE_NAMES,
    STATE_SIZE,
    TORCH,
    PusherParameters,
    pusher_step,
)
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models.planar_frame import PlanarFrame, as_points


class PusherDynamics(torch.nn.Module):
    """Discrete dynamics of box pose and pusher, in the floating-point type of its input; no weights.

    Shapes `(..., 5), (..., 2) -> (..., 5)`, the leading dimensions equal.

    Args:
        parameters: the plant; default as in the environment.
        smoothing: over which the beginning of contact is blurred in every substep [m]; 0 for the exact model, whose
            gradients vanish before contact. The box then also yields before the pusher touches it.
    """

    state_size, control_size = STATE_SIZE, CONTROL_SIZE
    state_names, control_names = STATE_NAMES, CONTROL_NAMES

    def __init__(self, parameters: PusherParameters | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.plant, self.smoothing = parameters or PusherParameters(), _checked(smoothing)

    @property
    def time_step(self) -> float:
        """Duration of one control interval [s]."""
        return self.plant.time_step

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the states `(..., 5)` after the pusher has moved by `control` `(..., 2)` [m].

        Raises:
            ShapeError: the sizes are not 5 and 2, or the leading dimensions differ.
        """
        _check_shapes(state, control, self.state_size)
        after = pusher_step(state.unbind(-1), control.unbind(-1), self.smoothing, self.plant, TORCH)
        return torch.stack(after, dim=-1)


class PusherKeypointDynamics(torch.nn.Module):
    """The same step of five keypoints and the pusher: all keypoints move with the box.

    The pose is the least-squares fit of the box to the keypoints, which need not fit exactly. Arguments as of
    `PusherDynamics`; shapes `(..., 12), (..., 2) -> (..., 12)`.
    """

    state_size, control_size = KEYPOINT_STATE_SIZE, CONTROL_SIZE
    state_names, control_names = KEYPOINT_STATE_NAMES, CONTROL_NAMES

    def __init__(self, parameters: PusherParameters | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.plant, self.smoothing = parameters or PusherParameters(), _checked(smoothing)
        self.frame = pusher_frame(self.plant)

    @property
    def time_step(self) -> float:
        """Duration of one control interval [s]."""
        return self.plant.time_step

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*controls m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the states `(..., 12)` after the pusher has moved by `control` `(..., 2)` [m].

        Raises:
            ShapeError: the sizes are not 12 and 2, or the leading dimensions differ.
        """
        _check_shapes(state, control, self.state_size)
        # in the frame of the box its pose is zero
        local, step = self.frame.enter(state, state), self.frame.turn_in(state, control)
        zero = torch.zeros_like(local[..., 0])
        pose = (zero, zero, zero, local[..., -2], local[..., -1])
        x, y, angle, *pusher = pusher_step(pose, step.unbind(-1), self.smoothing, self.plant, TORCH)
        points = as_points(local[..., :-2])
        cosine, sine = angle.cos()[..., None], angle.sin()[..., None]
        moved = (
            x[..., None] + cosine * points[..., 0] - sine * points[..., 1],
            y[..., None] + sine * points[..., 0] + cosine * points[..., 1],
        )
        after = torch.cat((torch.stack(moved, dim=-1).flatten(-2), torch.stack(pusher, dim=-1)), dim=-1)
        return self.frame.leave(state, after)


def pusher_casadi(parameters: PusherParameters | None = None, smoothing: float = 0.0) -> casadi.Function:
    """Return the step of `PusherDynamics` as a CasADi function of columns `(5,)` and `(2,)`, in SX."""
    plant = parameters or PusherParameters()
    state, control = casadi.SX.sym("state", STATE_SIZE), casadi.SX.sym("control", CONTROL_SIZE)
    coordinates = tuple(state[i] for i in range(STATE_SIZE))
    after = pusher_step(coordinates, (control[0], control[1]), _checked(smoothing), plant, CASADI)
    names = ["state", "control"], ["next_state"]
    return casadi.Function("pusher", [state, control], [casadi.vertcat(*after)], *names)


def pusher_frame(parameters: PusherParameters | None = None) -> PlanarFrame:
    """Return the frame that the keypoints of the box carry, the last point of a state being the pusher."""
    h, k = (parameters or PusherParameters()).half
    return PlanarFrame(tuple((a * h, b * k) for a, b in CORNER_SIGNS))


def _checked(smoothing: float) -> float:
    if not 0.0 <= smoothing < float("inf"):
        raise OptionError(f"smoothing = {smoothing}: it must be a length [m], not negative.")
    return smoothing


def _check_shapes(state: Tensor, control: Tensor, size: int) -> None:
    if state.shape[-1:] != (size,) or control.shape[-1:] != (2,) or state.shape[:-1] != control.shape[:-1]:
        raise ShapeError(
            f"The pusher takes states (..., {size}) and controls (..., 2) with equal leading dimensions, "
            f"not {tuple(state.shape)} and {tuple(control.shape)}."
        )
