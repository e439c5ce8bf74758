"""Models in the frame of a planar body that is seen as keypoints: what they learn in one pose holds in every other."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import Transitions, describe_dataset
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.denoiser import Denoiser
from trajopt_sgp.models.dynamics import LearnedDynamics

_FRAMED = " in its frame"


@dataclass(frozen=True)
class PlanarFrame:
    """The frame carried by the first points of a state made of points in the plane, [x0, y0, x1, y1, ...].

    Its origin is the mean of these keypoints, its direction that of the least-squares fit of a rigid body to them. A
    change of coordinates maps all points of a state, and turns controls, which are displacements.
    """

    reference: Sequence[tuple[float, float]]
    """The keypoints `(k, 2)` of the body in its own frame [m]."""

    @property
    def size(self) -> int:
        """Number of coordinates of the keypoints."""
        return 2 * len(self.reference)

    def pose(self, state: Float[Tensor, "*batch n"]) -> tuple[Tensor, Tensor]:
        """Return origin `(..., 2)` [m] and unit direction (cosine, sine) `(..., 2)` of the frame in states `(..., n)`.

        Raises:
            ShapeError: a state has fewer coordinates than the keypoints.
        """
        if state.shape[-1] < self.size or state.shape[-1] % 2:
            raise ShapeError(
                f"A state needs an even number of coordinates, {self.size} or more, not {state.shape[-1]}."
            )
        points = as_points(state[..., : self.size])
        body = torch.tensor(self.reference, dtype=state.dtype, device=state.device)
        body = body - body.mean(0)
        origin = points.mean(-2)
        away = points - origin[..., None, :]
        cosine = (away * body).sum((-1, -2))
        sine = (body[:, 0] * away[..., 1] - body[:, 1] * away[..., 0]).sum(-1)
        direction = torch.stack((cosine, sine), dim=-1)
        return origin, direction / direction.norm(dim=-1, keepdim=True).clamp_min(1e-12)

    def enter(self, frame: Tensor, state: Tensor) -> Tensor:
        """Return states `(..., n)` in the frames of the states `frame` `(..., n)`."""
        return _entered(self.pose(frame), state)

    def leave(self, frame: Tensor, local: Tensor) -> Tensor:
        """Return what `enter` has mapped to `local` `(..., n)`."""
        return _left(self.pose(frame), local)

    def turn_in(self, frame: Tensor, control: Tensor) -> Tensor:
        """Return displacements `(..., m)` in the frames of the states `frame`."""
        return _aligned(self.pose(frame), control)

    def transitions(self, data: Transitions) -> Transitions:
        """Return transitions with state, control and next state each in the frame of the state they start from."""
        states, controls, after = (torch.tensor(a) for a in (data.states, data.controls, data.next_states))
        arrays: dict[str, Any] = {
            "states": self.enter(states, states).numpy(),
            "controls": self.turn_in(states, controls).numpy(),
            "next_states": self.enter(states, after).numpy(),
            "episodes": data.episodes,
            "terminated": data.terminated,
        }
        states_free, controls_free = (([-inf] * size, [inf] * size) for size in (data.state_size, data.control_size))
        name = f"{data.dataset.id}{_FRAMED}"
        environment, time_step = data.dataset.environment, data.dataset.time_step
        info = describe_dataset(name, arrays, states_free, controls_free, environment, time_step=time_step)
        return Transitions(**arrays, dataset=info)


def is_framed(model: TransitionModel) -> bool:
    """Return whether a model was trained on `PlanarFrame.transitions`, and so sees the world from the body."""
    return model.dataset.id.endswith(_FRAMED)


class FramedDynamics(torch.nn.Module):
    """Learned dynamics that act in the frame of the body: invariant to its pose, `(..., n), (..., m) -> (..., n)`.

    Args:
        model: trained on `frame.transitions(data)`.
        frame: of the body.
    """

    def __init__(self, model: LearnedDynamics, frame: PlanarFrame) -> None:
        super().__init__()
        self.model, self.frame = model, frame
        self.state_size, self.control_size, self.time_step = model.state_size, model.control_size, model.time_step

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the next states `(..., n)`."""
        # found once: it takes longer than the network
        pose = self.frame.pose(state)
        return _left(pose, self.model(_entered(pose, state), _aligned(pose, control)))


class FramedDenoiser(torch.nn.Module):
    """A score or energy in the frame of the body, for `DataDistance`; z is that of the model inside.

    Args:
        model: trained on `frame.transitions(data)`.
        frame: of the body.
    """

    def __init__(self, model: Denoiser, frame: PlanarFrame) -> None:
        super().__init__()
        self.model, self.frame = model, frame

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level."""
        return self.model.sigma_range

    def normalize(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "*batch d"]:
        """Return z `(..., n + m)` of state and control as seen from the body."""
        pose = self.frame.pose(state)
        return self.model.normalize(_entered(pose, state), _aligned(pose, control))

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return the gradient of d_sigma with respect to z, `(..., d) -> (..., d)`."""
        return self.model.distance_gradient(z, sigma)


def as_points(state: Tensor) -> Tensor:
    """Return points `(..., k, 2)` of coordinates [x0, y0, x1, y1, ...] `(..., 2k)`."""
    return state.reshape(*state.shape[:-1], -1, 2)


def _entered(pose: tuple[Tensor, Tensor], state: Tensor) -> Tensor:
    origin, direction = pose
    return _turned(as_points(state) - origin[..., None, :], direction, -1.0).flatten(-2)


def _aligned(pose: tuple[Tensor, Tensor], control: Tensor) -> Tensor:
    return _turned(as_points(control), pose[1], -1.0).flatten(-2)


def _left(pose: tuple[Tensor, Tensor], local: Tensor) -> Tensor:
    origin, direction = pose
    return (_turned(as_points(local), direction, 1.0) + origin[..., None, :]).flatten(-2)


def _turned(points: Tensor, direction: Tensor, sign: float) -> Tensor:
    """Return points `(..., k, 2)` turned by angles of the given direction `(..., 2)`, or with sign -1 against them."""
    cosine, sine = direction[..., None, 0], sign * direction[..., None, 1]
    x, y = points.unbind(-1)
    return torch.stack((cosine * x - sine * y, sine * x + cosine * y), dim=-1)
