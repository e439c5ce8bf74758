"""What geometry says of pushing a box to a goal: which contacts are useful, and the way of the pusher to them.

It serves as a cost that draws the pusher to the useful side, as proposals for planners, and for demonstrations.
"""

from dataclasses import dataclass, field
from math import hypot, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.pusher_dynamics import pusher_frame
from trajopt_sgp.envs.pusher_equations import PusherParameters

_SHARES = (-0.8, -0.45, 0.0, 0.45, 0.8)
_ROUND = 1e-4
_SOFT = 0.01
_WITHIN = 0.999
CLEARANCE = 0.012
"""Distance between pusher and box on the way round it [m]."""


@dataclass(frozen=True, eq=False)
class PushGuide:
    """The pusher's outlook on one goal: contacts on all faces, their use, and how far they are.

    A push at a contact along its normal turns and moves the box as its limit surface has it; its use is the cosine
    between that motion of the keypoints and the one that is missing.
    """

    goal: FloatArray
    """Keypoints `(10,)` [m] to bring the box to."""
    plant: PusherParameters = field(default_factory=PusherParameters)
    """Geometry and friction of the box, nominal."""
    detour: float = 0.4
    """Price of a contact without use [m]: how far it is worth to go for one of full use."""
    points: FloatArray = field(init=False)
    """Contacts in the frame of the box, `(J, 2)` [m]."""
    normals: FloatArray = field(init=False)
    """Unit normals into the box, `(J, 2)`."""
    motions: FloatArray = field(init=False)
    """Motions of the keypoints by a push along the normal, of unit length, `(J, 10)`."""

    def __post_init__(self) -> None:
        h, k = self.plant.half
        faces = [((-h, s * k), (1.0, 0.0)) for s in _SHARES] + [((h, s * k), (-1.0, 0.0)) for s in _SHARES]
        faces += [((s * h, -k), (0.0, 1.0)) for s in _SHARES] + [((s * h, k), (0.0, -1.0)) for s in _SHARES]
        points, normals = (np.array(part) for part in zip(*faces, strict=True))
        lever = points[:, 0] * normals[:, 1] - points[:, 1] * normals[:, 0]
        turn = (lever / self.plant.arm**2)[:, None]
        body = np.array(pusher_frame(self.plant).reference)
        moved = normals[:, None] + turn[..., None] * np.stack([-body[:, 1], body[:, 0]], axis=-1)
        flat = moved.reshape(len(points), -1)
        motions = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        for name, value in {"points": points, "normals": normals, "motions": motions}.items():
            object.__setattr__(self, name, value)

    @property
    def places(self) -> FloatArray:
        """Centres of the pusher that touches at the contacts, in the frame of the box, `(J, 2)` [m]."""
        return self.points - self.plant.radius * self.normals

    def missing(self, state: Float[Tensor, "*batch n"]) -> Tensor:
        """Return the root mean square distance of the keypoints from the goal `(...)` [m], rounded at zero."""
        square = (state[..., :-2] - torch.tensor(self.goal).to(state)).square().sum(-1)
        missing: Tensor = (0.2 * square + _ROUND**2).sqrt()
        return missing

    def prices(self, state: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch contacts"]:
        """Return the price of every contact `(..., J)` [m]: the way to it, and what its push leaves undone."""
        frame = pusher_frame(self.plant)
        local = frame.enter(state, state)
        want = frame.turn_in(state, torch.tensor(self.goal).to(state) - state[..., :-2])
        missing = self.missing(state)
        use = want @ torch.tensor(self.motions.T).to(state) / (5.0**0.5 * missing[..., None])
        prices: Tensor = self._distance(local[..., -2:]) + self.detour * (1.0 - use)
        return prices

    def contact_prices(self, state: FloatArray) -> FloatArray:
        """Return the price of every contact `(J,)` [m] in a state `(n,)`."""
        prices: FloatArray = self.prices(torch.tensor(state)).numpy()
        return prices

    def push(self, state: FloatArray, contact: int, steps: int, lean: float = 0.0, speed: float = 1.0) -> FloatArray:
        """Return displacements `(steps, 2)` [m] that go round the box to a contact and push there.

        The box is taken to rest until the pusher has arrived, and the push ends where it has done what it can.

        Args:
            state: keypoints and pusher `(n,)`.
            contact: index j of the contact.
            steps: number of displacements; the last are zero if there is nothing left to do.
            lean: how far the push turns from the normal to the mean motion that is missing.
            speed: length of a displacement, as a share of the limit.
        """
        frame, tensor = pusher_frame(self.plant), torch.tensor(state)
        place = frame.enter(tensor, tensor).numpy()[-2:]
        want = frame.turn_in(tensor, torch.tensor(self.goal) - tensor[:-2]).numpy()
        length = max(float(want @ self.motions[contact]) / 5.0**0.5, 0.01)
        along = want.reshape(-1, 2).mean(0)
        direction = self.normals[contact] + lean * along / max(hypot(*along), 1e-6)
        direction = direction / max(hypot(*direction), 1e-6)
        way = np.array(_way_round(self.plant, place, self.points[contact], self.normals[contact]))
        corners = np.vstack([place, way, way[-1] + (length + CLEARANCE) * direction])
        local = _walk(corners, speed * _WITHIN * self.plant.step_limit, steps)
        cosine, sine = frame.pose(tensor)[1].numpy()
        steps_on_table: FloatArray = local @ np.array([[cosine, sine], [-sine, cosine]])
        return steps_on_table

    def outlook(self, state: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
        """Return the soft least price of all contacts `(...)` [m], the part of it that remains at the goal left out.

        It falls to zero with what is missing, so that it does not matter where the pusher ends.
        """
        best = -_SOFT * torch.logsumexp(-self.prices(state) / _SOFT, dim=-1)
        missing = self.missing(state)
        outlook: Tensor = missing / (missing + 0.01) * best
        return outlook

    def _distance(self, place: Tensor) -> Tensor:
        """Return about how far it is around the box from places `(..., 2)` to every contact, `(..., J)` [m]."""
        h, k = self.plant.half
        reach = torch.tensor([h + self.plant.radius, k + self.plant.radius]).to(place)
        contact = torch.tensor(self.places).to(place)
        # the angle on the ellipse that touches the faces stands for the way around
        own, other = place / reach, contact / reach
        turn = torch.atan2(own[..., None, 1], own[..., None, 0]) - torch.atan2(other[:, 1], other[:, 0])
        turn = torch.remainder(turn + pi, 2.0 * pi) - pi
        away = (place[..., None, :] - contact).square().sum(-1)
        around = (turn.abs() - 0.5).clamp_min(0.0) * reach.mean()
        distance: Tensor = (away + around.square() + _ROUND**2).sqrt()
        return distance


@dataclass(frozen=True, eq=False)
class PushProposals:
    """Sequences of displacements that go round the box to its most useful contacts and push there.

    The box is taken to rest until the pusher has arrived. Of every two proposals for a contact one pushes along the
    normal, one leans with the motion that is missing.
    """

    guide: PushGuide
    """Of the goal."""
    horizon: int
    """Steps N of each proposal."""
    count: int = 4
    """Contacts proposed to each state."""

    def __call__(self, states: FloatArray) -> FloatArray:
        """Return displacements `(B, S, N, 2)` [m] for states `(B, n)`, S = 2 count + 1; the last proposal rests."""
        return np.stack([self._propose(state) for state in states])

    def _propose(self, state: FloatArray) -> FloatArray:
        prices = self.guide.contact_prices(state)
        chosen: list[int] = []
        for j in np.argsort(prices):
            # at most two to a face
            if sum(int(j) // len(_SHARES) == i // len(_SHARES) for i in chosen) < 2:
                chosen.append(int(j))
            if len(chosen) == self.count:
                break
        plans = [self.guide.push(state, j, self.horizon, lean) for j in chosen for lean in (0.0, 0.5)]
        return np.stack([*plans, np.zeros((self.horizon, 2))])


def _way_round(plant: PusherParameters, place: FloatArray, point: FloatArray, normal: FloatArray) -> list[FloatArray]:
    """Return the shortest way from a place of the pusher to one before a contact, by the corners of the box."""
    h, k = plant.half
    reach = plant.radius + CLEARANCE
    before = point - reach * normal
    corners = [np.array([a * (h + reach), b * (k + reach)]) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    ways = [[before]]
    for order in (corners, corners[::-1]):
        ways += [[*(order[(first + i) % 4] for i in range(n)), before] for first in range(4) for n in (1, 2, 3)]
    bounds = np.array([h, k]) + 0.8 * plant.radius
    free = [way for way in ways if not _crosses(np.vstack([place, *way]), bounds)]
    return min(free or ways, key=lambda way: _length(np.vstack([place, *way])))


def _walk(corners: FloatArray, limit: float, steps: int) -> FloatArray:
    """Return displacements `(steps, 2)` along a polyline `(k, 2)`, each of at most `limit`, then none."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    marks = np.minimum(np.arange(steps + 1) * limit, lengths[-1])
    places = np.stack([np.interp(marks, lengths, corners[:, i]) for i in range(2)], axis=-1)
    return np.diff(places, axis=0)


def _length(path: FloatArray) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _crosses(path: FloatArray, half: FloatArray) -> bool:
    """Return whether a polyline passes through the rectangle of half sides `half` around the origin."""
    shares = np.linspace(0.0, 1.0, 17)[1:-1, None, None]
    between = path[:-1] * (1.0 - shares) + path[1:] * shares
    inside = (np.abs(between) < half).all(axis=-1)
    return bool(inside.any())
